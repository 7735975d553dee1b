//! How is the smaller file written? By llama.cpp, tensor after tensor, so that memory is bounded by the largest.

use std::ffi::CString;
use std::ptr::null;

use llama_cpp_sys_2 as sys;

use super::library::{begin, c_path, last_words};
use super::threads;
use crate::gguf::{Gguf, Shape};
use crate::quantize::{Importance, Quantization, Quantize};

/// Bytes of a tensor's rows that are held at once.
const MOST_HELD: usize = 512 << 20;

/// Makes the smaller file.
///
/// # Errors
/// A sentence with the file: it is no model, is quantized already, the importance matrix is another model's, or what
/// llama.cpp says.
pub fn quantize(wanted: &Quantize) -> Result<(), String> {
    let told = |why: String| format!("{} {why}", wanted.file.display());
    let file = Gguf::open(&wanted.file).map_err(|error| told(error.to_string()))?;
    Shape::of(&file).map_err(|error| told(error.to_string()))?;
    if let Some(tensor) = file.tensors.iter().find(|tensor| tensor.kind.is_quantized()) {
        return Err(told(format!("is quantized already: `{}` is {}", tensor.name, tensor.kind.name())));
    }
    let importance = match &wanted.importance {
        Some(path) => {
            let read = Importance::open(path).map_err(|error| format!("{} {error}", path.display()))?;
            check_fits(&file, &read).map_err(|why| format!("{} {why}", path.display()))?;
            read
        }
        None => Importance::default(),
    };
    let (from, to) = (c_path(&wanted.file).map_err(told)?, c_path(&wanted.out)?);
    let lists: Vec<(CString, Vec<f32>)> = importance
        .tensors
        .iter()
        .filter_map(|(name, weighed)| Some((CString::new(name.as_str()).ok()?, weighed.means())))
        .collect();
    let one = |(name, means): &(CString, Vec<f32>)| sys::llama_model_imatrix_data {
        name: name.as_ptr(),
        data: means.as_ptr(),
        size: means.len(),
    };
    let end = sys::llama_model_imatrix_data { name: null(), data: null(), size: 0 };
    let list: Vec<sys::llama_model_imatrix_data> = lists.iter().map(one).chain([end]).collect();
    // SAFETY: it only returns numbers.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.ftype = file_type(wanted.to);
    params.nthread = threads(wanted.threads) as i32;
    params.max_buf_size = MOST_HELD;
    params.imatrix = if lists.is_empty() { null() } else { list.as_ptr() };
    begin()?;
    // SAFETY: both names end with a 0; each entry of the list names and holds what lives in `lists`, and the last of them
    // has no name; all of it lives until the call is over.
    match unsafe { sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params) } {
        0 => Ok(()),
        _ => Err(told(format!("can't be quantized: {}", last_words()))),
    }
}

/// Every tensor that was weighed is one of the model's, of the same sizes.
fn check_fits(file: &Gguf, importance: &Importance) -> Result<(), String> {
    for (name, weighed) in &importance.tensors {
        let fits = file.tensor(name).is_some_and(|tensor| {
            let matrices: u64 = tensor.sizes.iter().skip(2).product();
            let columns = tensor.sizes.first().copied().unwrap_or(0);
            weighed.sums.len() as u64 == columns * matrices && weighed.counts.len() as u64 == matrices
        });
        if !fits {
            return Err(format!("is of another model: `{name}` is not as wide there"));
        }
    }
    Ok(())
}

fn file_type(to: Quantization) -> sys::llama_ftype {
    match to {
        Quantization::Q8_0 => sys::LLAMA_FTYPE_MOSTLY_Q8_0,
        Quantization::Q6K => sys::LLAMA_FTYPE_MOSTLY_Q6_K,
        Quantization::Q5KM => sys::LLAMA_FTYPE_MOSTLY_Q5_K_M,
        Quantization::Q4KM => sys::LLAMA_FTYPE_MOSTLY_Q4_K_M,
        Quantization::Q4_0 => sys::LLAMA_FTYPE_MOSTLY_Q4_0,
    }
}
