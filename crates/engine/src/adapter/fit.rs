//! Does it fit the model? All that llama.cpp holds against the model, and what it would abort at, leave out or misunderstand.

use std::collections::BTreeMap;

use super::AdapterError;
use crate::gguf::{Gguf, Tensor, Value};

/// How the numbers of an adapter may be stored: what is multiplied as it is, whatever the rank.
const STORED_AS: [&str; 4] = ["F32", "F16", "BF16", "Q8_0"];

/// The two matrices beside one of the model's.
#[derive(Default)]
struct Pair<'a> {
    a: Option<&'a Tensor>,
    b: Option<&'a Tensor>,
}

/// Whether an adapter's file is one of a model's.
///
/// # Errors
/// What of it is not.
pub fn fits(adapter: &Gguf, base: &Gguf) -> Result<(), AdapterError> {
    check_metadata(adapter, base)?;
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for tensor in &adapter.tensors {
        let name = &tensor.name;
        let known = STORED_AS.contains(&tensor.kind.name());
        if !known {
            let kind = tensor.kind.name();
            return unfit(format!("`{name}` is stored as {kind}, and {} can be", STORED_AS.join(", ")));
        }
        if let Some(beside) = name.strip_suffix(".lora_a") {
            pairs.entry(beside).or_default().a = Some(tensor);
        } else if let Some(beside) = name.strip_suffix(".lora_b") {
            pairs.entry(beside).or_default().b = Some(tensor);
        } else {
            return unfit(format!(
                "`{name}` is none of the two matrices of a LoRA adapter (`.lora_a`, `.lora_b`)"
            ));
        }
    }
    if pairs.is_empty() {
        return unfit("it has no matrices".to_owned());
    }
    pairs.iter().try_for_each(|(name, pair)| check_pair(name, pair, base))
}

fn check_metadata(adapter: &Gguf, base: &Gguf) -> Result<(), AdapterError> {
    let text = |file: &Gguf, key: &str| file.get(key).and_then(Value::as_text).unwrap_or("").to_owned();
    let check = |key: &str, expected: &str| match text(adapter, key) {
        found if found == expected => Ok(()),
        found => unfit(format!("`{key}` is `{found}`, and should be `{expected}`")),
    };
    check("general.type", "adapter")?;
    check("adapter.type", "lora")?;
    check("general.architecture", &text(base, "general.architecture"))?;
    match adapter.get("adapter.lora.alpha") {
        // Without one, what it adds is not scaled.
        None => {}
        Some(Value::F32(alpha)) if alpha.is_finite() => {}
        Some(_) => return unfit("`adapter.lora.alpha` is no number of 32 bits".to_owned()),
    }
    match adapter.get("adapter.alora.invocation_tokens") {
        Some(_) => unfit("it is to begin in the middle of a text (aLoRA), which isn't done here".to_owned()),
        None => Ok(()),
    }
}

fn check_pair(name: &str, pair: &Pair<'_>, base: &Gguf) -> Result<(), AdapterError> {
    let (Some(a), Some(b)) = (pair.a, pair.b) else {
        return unfit(format!("`{name}` has only one of its two matrices"));
    };
    if !name.starts_with("blk.") {
        return unfit(format!("`{name}` belongs to no layer: embeddings and the output can't be adapted"));
    }
    let Some(own) = base.tensor(name) else {
        return unfit(format!("`{name}` is no matrix of the model: is it another model's?"));
    };
    let &[inside, outside] = own.sizes.as_slice() else {
        return unfit(format!("`{name}` is no plain matrix: its sizes are {:?}", own.sizes));
    };
    let told = |tensor: &Tensor, expected: &str| {
        let Tensor { name, sizes, .. } = tensor;
        unfit(format!("`{name}` has sizes {sizes:?}, and {expected} was expected: is it another model's?"))
    };
    let &[a_inside, rank] = a.sizes.as_slice() else { return told(a, "a matrix") };
    if a_inside != inside || rank > inside.min(outside) {
        return told(a, &format!("[{inside}, rank]"));
    }
    match b.sizes == [rank, outside] {
        true => Ok(()),
        false => told(b, &format!("[{rank}, {outside}]")),
    }
}

fn unfit<T>(why: String) -> Result<T, AdapterError> {
    Err(AdapterError::Unfit(why))
}
