//! What is each matrix multiplied with, while a task's texts are read? llama.cpp shows every product before it is computed,
//! and what is asked for of them when it has been (as its `imatrix` tool has it).

use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use super::library::{Library, Settings};
use super::threads;
use crate::gguf::{Gguf, Shape};
use crate::quantize::{Importance, Weigh, Weighed};
use crate::work::{Piece, Sequence, Token};

/// Tokens computed at once. What may follow is asked for after each, or the last layer would see few of them; that takes a
/// number for every token of the vocabulary.
const BATCH: u32 = 128;
/// Texts that are read at a time, beside what stands before all of them.
const AT_ONCE: Sequence = 32;

/// Reads the texts, and writes what mattered. `told` hears after each batch how many were read, and how many of them were
/// too long.
///
/// # Errors
/// A sentence: the model can't be run, no text could be read, or nobody listens any more.
pub fn weigh(wanted: &Weigh, told: &mut dyn FnMut(u64, u64) -> Result<(), String>) -> Result<(), String> {
    let of_file = |why: String| format!("{} {why}", wanted.file.display());
    let file = Gguf::open(&wanted.file).map_err(|error| of_file(error.to_string()))?;
    Shape::of(&file).map_err(|error| of_file(error.to_string()))?;
    let settings = Settings {
        context: wanted.context,
        batch: BATCH,
        at_once: BATCH,
        sequences: AT_ONCE + 1,
        threads: threads(wanted.threads),
        exact: false,
    };
    // It is heard for as long as the model is there, which is as long as the process.
    let collected: &'static Mutex<Collected> = Box::leak(Box::default());
    let library = Library::load_with(&wanted.file, &[], settings, |params| {
        params.cb_eval = Some(hear);
        params.cb_eval_user_data = std::ptr::from_ref(collected).cast_mut().cast::<c_void>();
    });
    let mut reader = Reader::of(library.map_err(of_file)?, &wanted.before)?;
    for text in &wanted.texts {
        if reader.read(text)? {
            told(reader.texts, reader.too_long)?;
        }
    }
    reader.flush()?;
    told(reader.texts, reader.too_long)?;
    if reader.texts == reader.too_long {
        return Err("no text is short enough for the model to be weighed with".to_owned());
    }
    let collected = std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(why) = collected.trouble {
        return Err(of_file(format!("can't be weighed: {why}")));
    }
    let importance = Importance { tensors: collected.tensors };
    let texts = u32::try_from(wanted.texts.len()).unwrap_or(u32::MAX);
    importance.write(&wanted.out, texts).map_err(|error| format!("{}: {error}", wanted.out.display()))
}

/// Texts on their way through the model, several in one batch.
struct Reader {
    library: Library,
    /// Tokens that stand before every text.
    before: u32,
    batch: Vec<Piece>,
    /// Sequences whose texts are not forgotten yet, and the tokens of these.
    held: (Sequence, usize),
    texts: u64,
    too_long: u64,
}

impl Reader {
    /// Reads what stands before every text.
    fn of(library: Library, before: &str) -> Result<Self, String> {
        let tokens = library.tokens(before, true, true);
        let (count, room) = (tokens.len(), library.reach());
        if tokens.is_empty() || count >= room {
            return Err(format!("{count} tokens stand before every text, and there is room for {room}"));
        }
        let mut reader = Self { library, before: 0, batch: Vec::new(), held: (0, 0), texts: 0, too_long: 0 };
        for (position, token) in (0..).zip(tokens) {
            reader.push(token, position, 0)?;
        }
        reader.flush()?;
        reader.before = count as u32;
        Ok(reader)
    }

    /// Reads a text, with others in one batch; says whether a batch was computed.
    fn read(&mut self, text: &str) -> Result<bool, String> {
        self.texts += 1;
        let tokens = self.library.tokens(text, false, false);
        let room = self.library.reach().saturating_sub(self.before as usize);
        if tokens.is_empty() || tokens.len() > room {
            self.too_long += 1;
            return Ok(false);
        }
        let mut is_computed = false;
        let room = self.library.settings().context as usize - self.before as usize;
        if self.held.0 == AT_ONCE || self.held.1 + tokens.len() > room {
            self.flush()?;
            is_computed = true;
        }
        self.held = (self.held.0 + 1, self.held.1 + tokens.len());
        let sequence = self.held.0;
        self.library.copy(0, sequence, self.before)?;
        for (position, token) in (self.before..).zip(tokens) {
            is_computed |= self.push(token, position, sequence)?;
        }
        Ok(is_computed)
    }

    /// Adds a token to the batch; says whether the one before was computed.
    fn push(&mut self, token: Token, position: u32, sequence: Sequence) -> Result<bool, String> {
        let is_full = self.batch.len() == BATCH as usize;
        if is_full {
            self.compute()?;
        }
        self.batch.push(Piece { token, position, sequences: vec![sequence], wanted: true });
        Ok(is_full)
    }

    fn compute(&mut self) -> Result<(), String> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.library.compute(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    /// Computes what is left, and forgets the texts.
    fn flush(&mut self) -> Result<(), String> {
        self.compute()?;
        (1..=self.held.0).try_for_each(|sequence| self.library.forget(sequence))?;
        self.held = (0, 0);
        Ok(())
    }
}

/// What was seen of every matrix.
#[derive(Default)]
struct Collected {
    tensors: BTreeMap<String, Weighed>,
    /// Something that should never be.
    trouble: Option<String>,
}

/// One product that llama.cpp has computed, as far as it is of interest.
struct Product {
    /// The matrix's name.
    name: String,
    /// Columns, and how many matrices there are.
    columns: usize,
    matrices: usize,
    /// Numbers of a vector; vectors, of how many lists, of how many lists of lists.
    sizes: [usize; 4],
    /// Bytes from one of each to the next.
    steps: [usize; 4],
    /// The vectors, as they lie there.
    bytes: Vec<u8>,
    /// In a mixture, which expert each vector was for.
    experts: Option<Experts>,
}

/// Which experts each token asks.
struct Experts {
    /// Experts a token asks, and tokens.
    sizes: [usize; 2],
    steps: [usize; 2],
    bytes: Vec<u8>,
}

impl Collected {
    fn add(&mut self, product: &Product) -> Option<()> {
        let Product { columns, matrices, sizes, .. } = *product;
        let weighed = self.tensors.entry(product.name.clone()).or_default();
        if weighed.counts.is_empty() {
            weighed.sums = vec![0.0; columns * matrices];
            weighed.counts = vec![0.0; matrices];
        }
        if sizes[0] != columns || weighed.sums.len() != columns * matrices {
            return None;
        }
        match &product.experts {
            None => {
                for outer in 0..sizes[3] {
                    for list in 0..sizes[2] {
                        for row in 0..sizes[1] {
                            let vector = product.vector([row, list, outer])?;
                            weighed.add((outer * sizes[2] + list) % matrices, vector)?;
                        }
                    }
                }
            }
            Some(experts) => {
                for token in 0..experts.sizes[1] {
                    for choice in 0..experts.sizes[0] {
                        let expert = experts.of(choice, token)?;
                        // All that a token asks may get the same vector.
                        let vector = product.vector([choice % sizes[1], token, 0])?;
                        weighed.add(expert, vector)?;
                    }
                }
            }
        }
        Some(())
    }
}

impl Weighed {
    fn add<'a>(&mut self, matrix: usize, vector: impl Iterator<Item = &'a [u8; 4]>) -> Option<()> {
        let columns = self.sums.len() / self.counts.len();
        *self.counts.get_mut(matrix)? += 1.0;
        let sums = self.sums.get_mut(matrix * columns..(matrix + 1) * columns)?;
        for (sum, bytes) in sums.iter_mut().zip(vector) {
            let number = f32::from_le_bytes(*bytes);
            *sum += number * number;
        }
        Some(())
    }
}

impl Product {
    /// The numbers of a vector; `None` beyond the end.
    fn vector(&self, place: [usize; 3]) -> Option<impl Iterator<Item = &[u8; 4]>> {
        let start: usize = place.iter().zip(&self.steps[1..]).map(|(place, step)| place * step).sum();
        Some(self.bytes.get(start..start + 4 * self.sizes[0])?.as_chunks::<4>().0.iter())
    }
}

impl Experts {
    fn of(&self, choice: usize, token: usize) -> Option<usize> {
        let start = choice * self.steps[0] + token * self.steps[1];
        let bytes = self.bytes.get(start..start + 4)?.first_chunk::<4>()?;
        usize::try_from(i32::from_le_bytes(*bytes)).ok()
    }
}

/// Is asked of each tensor before it is computed whether it is of interest, and shown it afterwards where it is.
unsafe extern "C" fn hear(tensor: *mut sys::ggml_tensor, ask: bool, collected: *mut c_void) -> bool {
    // SAFETY: llama.cpp shows tensors that live until this returns; what it was given with them is the collection, which
    // lives forever.
    let (tensor, collected) = unsafe { (&*tensor, &*collected.cast::<Mutex<Collected>>()) };
    // SAFETY: as above; the sources of a product are tensors, too.
    let (Some(matrix), Some(vectors)) = (unsafe { (tensor.src[0].as_ref(), tensor.src[1].as_ref()) }) else {
        return !ask;
    };
    // SAFETY: a tensor's name ends with a 0.
    let name = unsafe { CStr::from_ptr(matrix.name.as_ptr()) }.to_string_lossy();
    let is_product = tensor.op == sys::GGML_OP_MUL_MAT || tensor.op == sys::GGML_OP_MUL_MAT_ID;
    let is_of_interest = is_product
        && vectors.type_ == sys::GGML_TYPE_F32
        && name.starts_with("blk.")
        && name.ends_with(".weight");
    if ask || !is_of_interest {
        return is_of_interest || !ask;
    }
    let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
    let added = product(tensor, matrix, vectors, name.into_owned()).and_then(|product| {
        collected.add(&product).ok_or_else(|| format!("`{}` is multiplied with something else", product.name))
    });
    if let Err(why) = added {
        collected.trouble.get_or_insert(why);
    }
    true
}

fn product(
    tensor: &sys::ggml_tensor,
    matrix: &sys::ggml_tensor,
    vectors: &sys::ggml_tensor,
    name: String,
) -> Result<Product, String> {
    let size = |number: i64| usize::try_from(number).unwrap_or(0);
    let experts = match tensor.op == sys::GGML_OP_MUL_MAT_ID {
        false => None,
        true => {
            // SAFETY: the experts that are asked are a tensor that lives until this returns.
            let asked = unsafe { tensor.src[2].as_ref() };
            let asked = asked.ok_or_else(|| format!("`{name}` doesn't say which experts are asked"))?;
            Some(Experts {
                sizes: [size(asked.ne[0]), size(asked.ne[1])],
                steps: [asked.nb[0], asked.nb[1]],
                bytes: bytes(asked)?,
            })
        }
    };
    if vectors.nb[0] != 4 {
        return Err(format!("`{name}` is multiplied with vectors whose numbers don't lie side by side"));
    }
    Ok(Product {
        columns: size(matrix.ne[0]),
        matrices: size(matrix.ne[2] * matrix.ne[3]).max(1),
        sizes: vectors.ne.map(size),
        steps: vectors.nb,
        bytes: bytes(vectors)?,
        experts,
        name,
    })
}

/// What a tensor holds.
fn bytes(tensor: &sys::ggml_tensor) -> Result<Vec<u8>, String> {
    let is_there = !tensor.buffer.is_null() || !tensor.view_src.is_null();
    if !is_there || tensor.data.is_null() {
        return Err("a tensor holds nothing".to_owned());
    }
    // SAFETY: the tensor was just computed, so that it lies in a buffer; the list has room for all of it.
    unsafe {
        let mut bytes = vec![0; sys::ggml_nbytes(tensor)];
        sys::ggml_backend_tensor_get(tensor, bytes.as_mut_ptr().cast::<c_void>(), 0, bytes.len());
        Ok(bytes)
    }
}
