//! Any text is a task, or a problem that names its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_task::{Source, read_task};

fuzz_target!(|text: &str| {
    let source = Source::new("tasks/t.toml", text);
    if let Err(problem) = read_task("t", &source, |_| Ok("a\nb\n".to_owned())) {
        assert!(problem.to_string().contains("tasks/t.toml"));
    }
});
