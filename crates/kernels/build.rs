//! Builds llama.cpp's kernels once more for each sort of processor there is, and puts all of them into one binary.
//!
//! llama.cpp does the same with libraries that it looks for at run time. One binary has none, so each set is made one object
//! in which everything but its entry is local: neither its functions nor what C++ makes of templates, compiled for newer
//! processors, can be taken for those of the rest. Nothing of it runs before it is chosen.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The function that a set of kernels is reached by.
const ENTRY: &str = "ggml_backend_cpu_reg";

/// What all sets have: what llama.cpp is built for anyway.
const COMMON: [&str; 6] = ["GGML_SSE42", "GGML_AVX", "GGML_F16C", "GGML_FMA", "GGML_BMI2", "GGML_AVX2"];

/// What is left out: tools and tests, and whatever is looked for on the machine that builds.
const OFF: [&str; 11] = [
    "BUILD_SHARED_LIBS",
    "GGML_NATIVE",
    "GGML_OPENMP",
    "GGML_CCACHE",
    "LLAMA_CURL",
    "LLAMA_BUILD_COMMON",
    "LLAMA_BUILD_TESTS",
    "LLAMA_BUILD_TOOLS",
    "LLAMA_BUILD_EXAMPLES",
    "LLAMA_BUILD_SERVER",
    "LLAMA_BUILD_APP",
];

/// A set of kernels: its name here, what it is built for besides, and what the compiler calls the newest of that.
struct Set {
    name: &'static str,
    options: &'static [&'static str],
    flags: &'static [&'static str],
}

const SETS: [Set; 3] = [
    Set { name: "avx_vnni", options: &["GGML_AVX_VNNI"], flags: &["-mavxvnni"] },
    Set {
        name: "avx512_vnni",
        options: &["GGML_AVX512", "GGML_AVX512_VNNI"],
        flags: &["-mavx512bw", "-mavx512vnni"],
    },
    Set {
        name: "amx",
        options: &[
            "GGML_AVX512",
            "GGML_AVX512_VNNI",
            "GGML_AVX512_VBMI",
            "GGML_AVX512_BF16",
            "GGML_AMX_TILE",
            "GGML_AMX_INT8",
        ],
        flags: &["-mavx512bf16", "-mamx-tile", "-mamx-int8"],
    },
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let names = SETS.map(|set| format!("\"{}\"", set.name)).join(", ");
    println!("cargo::rustc-check-cfg=cfg(kernels, values({names}))");
    let target = |key: &str| env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    // Elsewhere llama.cpp is built for one sort of processor, and there is nothing to choose from.
    if target("ARCH") != "x86_64" || target("OS") != "linux" {
        return;
    }
    for set in SETS {
        match set.build() {
            Ok(()) => println!("cargo::rustc-cfg=kernels=\"{}\"", set.name),
            Err(why) => println!("cargo::warning=no kernels `{}`, others serve instead: {why}", set.name),
        }
    }
}

impl Set {
    fn build(&self) -> Result<(), String> {
        let compiler = cc::Build::new();
        for flag in self.flags {
            if !compiler.is_flag_supported(flag).unwrap_or(false) {
                return Err(format!("the C compiler doesn't know {flag}"));
            }
        }
        let folder = PathBuf::from(env::var("OUT_DIR").map_err(|error| error.to_string())?).join(self.name);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut build = cmake::Config::new(source()?);
        build.out_dir(&folder).profile("Release").build_target("ggml-cpu");
        for option in COMMON.iter().chain(self.options) {
            build.define(option, "ON");
        }
        for option in OFF {
            build.define(option, "OFF");
        }
        // Its warnings are llama.cpp's to heed.
        build.cflag("-w").cxxflag("-w");
        // A symbol that is one in the whole program can't be made local.
        if cc::Build::new().cpp(true).is_flag_supported("-fno-gnu-unique").unwrap_or(false) {
            build.cxxflag("-fno-gnu-unique");
        }
        // What the library needs besides is there already, in llama.cpp's own build.
        build.define("CMAKE_OPTIMIZE_DEPENDENCIES", "ON");
        build.build();
        self.close(&folder, &found(&folder.join("build"), "libggml-cpu.a")?)
    }

    /// Makes one object of a library, of which only the entry can be seen, by a name of its own.
    fn close(&self, folder: &Path, library: &Path) -> Result<(), String> {
        let whole = folder.join("whole.o");
        let archive = folder.join(format!("libsprat_kernels_{}.a", self.name));
        let tool = |name: &str| tool(name).map(Command::new);
        // Groups of sections that a linker would choose one of, whoever it is from, become sections like others.
        run(tool("ld")?
            .args(["-r", "--force-group-allocation", "--whole-archive"])
            .arg(library)
            .arg("-o")
            .arg(&whole))?;
        run(tool("objcopy")?.arg(format!("--keep-global-symbol={ENTRY}")).arg(&whole))?;
        run(tool("objcopy")?.arg(format!("--redefine-sym={ENTRY}=sprat_kernels_{}", self.name)).arg(&whole))?;
        // Code that runs when the program starts would run on processors that don't know it.
        let sections = run(tool("objdump")?.arg("-h").arg(&whole))?;
        if let Some(section) =
            [".init_array", ".ctors", ".preinit_array"].iter().find(|name| sections.contains(**name))
        {
            return Err(format!("something in it would run when the program starts ({section})"));
        }
        let entry = format!("sprat_kernels_{}", self.name);
        let seen =
            run(tool("nm")?.args(["--defined-only", "--extern-only", "--format=just-symbols"]).arg(&whole))?;
        if seen.trim() != entry {
            return Err(format!(
                "more of it can be seen than its entry: {}",
                seen.split_whitespace().collect::<Vec<_>>().join(", ")
            ));
        }
        let _ = fs::remove_file(&archive);
        run(tool("ar")?.arg("rcs").arg(&archive).arg(&whole))?;
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static={entry}");
        Ok(())
    }
}

/// The source of the llama.cpp that is linked: its build remembers where it came from.
fn source() -> Result<PathBuf, String> {
    let packages =
        env::var("DEP_LLAMA_GGML_CMAKE_DIR").map_err(|_| "llama.cpp doesn't say where it was built")?;
    // …/out/lib/cmake, and the build is …/out/build.
    let out = Path::new(&packages).ancestors().nth(2).ok_or("llama.cpp was built nowhere")?;
    let cache = fs::read_to_string(out.join("build/CMakeCache.txt")).map_err(|error| error.to_string())?;
    let home = cache.lines().find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    home.map(PathBuf::from).ok_or_else(|| "llama.cpp's build has no home".to_owned())
}

/// One of the tools that belong to the compiler.
fn tool(name: &str) -> Result<PathBuf, String> {
    let compiler = cc::Build::new().try_get_compiler().map_err(|error| error.to_string())?;
    let told = run(compiler.to_command().arg(format!("-print-prog-name={name}")))?;
    Ok(PathBuf::from(told.trim()))
}

fn run(command: &mut Command) -> Result<String, String> {
    let ran = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match ran.status.success() {
        true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&ran.stderr).trim())),
    }
}

/// A file of that name somewhere under a folder.
fn found(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let file = paths.iter().find(|path| path.is_file() && path.file_name().is_some_and(|own| own == name));
    let within = || paths.iter().filter(|path| path.is_dir()).find_map(|path| found(path, name).ok());
    file.cloned().or_else(within).ok_or_else(|| format!("{} was not built", name))
}
