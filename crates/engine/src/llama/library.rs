//! What is called of llama.cpp, and is each call within its bounds? The only place with `unsafe`. The library aborts the
//! process at what it doesn't expect, so everything is checked here before it is handed over.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use super::processor::choose_kernels;
use crate::work::{Piece, Sequence, Token};

/// Complaints that are kept.
const MOST_WORDS: usize = 4;

/// How long a thread looks for more work before it sleeps, of 100: about as long as passes between two batches. llama.cpp's own 50
/// keeps the processor busy for a tenth of a second after each answer.
const POLL: u32 = 2;

/// A model and its memory. It lives as long as the process does: one process runs one model, and ends with it.
pub struct Library {
    context: NonNull<sys::llama_context>,
    vocab: *const sys::llama_vocab,
    adapters: Vec<NonNull<sys::llama_adapter_lora>>,
    /// The one that batches are computed with.
    adapter: Option<u32>,
    memory: sys::llama_memory_t,
    settings: Settings,
    tokens: Token,
    trained_context: usize,
    slides: bool,
}

// SAFETY: nothing of it is shared, and llama.cpp ties none of it to a thread.
unsafe impl Send for Library {}

/// How a model is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Tokens that all sequences together can remember.
    pub context: u32,
    /// Most tokens of a batch.
    pub batch: u32,
    /// Tokens computed at once.
    pub at_once: u32,
    /// Sequences remembered at a time.
    pub sequences: Sequence,
    /// Threads to compute on.
    pub threads: u32,
    /// Keys and values in 32 bits, and attention step by step: what golden values are compared with. Else 16 bits.
    pub exact: bool,
}

impl Library {
    /// Loads a model, its weights mapped into memory, and adapters that were held against it.
    ///
    /// # Errors
    /// A sentence that goes on from the file's name.
    pub fn load(file: &Path, adapters: &[PathBuf], settings: Settings) -> Result<Self, String> {
        Self::load_with(file, adapters, settings, |_| ())
    }

    /// The same, with parameters of the context that `adjust` has set.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) fn load_with(
        file: &Path,
        adapters: &[PathBuf],
        settings: Settings,
        adjust: impl FnOnce(&mut sys::llama_context_params),
    ) -> Result<Self, String> {
        let path = c_path(file)?;
        begin()?;
        // SAFETY: the path ends with a 0; the parameters are the library's own.
        let model =
            unsafe { sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params()) };
        let model =
            NonNull::new(model).ok_or_else(|| format!("was refused by llama.cpp: {}", last_words()))?;
        // SAFETY: the model was just loaded, and is never freed.
        let (answers_itself, recurs, trained_context, slides) = unsafe {
            (
                sys::llama_model_has_decoder(model.as_ptr()) && !sys::llama_model_has_encoder(model.as_ptr()),
                sys::llama_model_is_recurrent(model.as_ptr()) || sys::llama_model_is_hybrid(model.as_ptr()),
                sys::llama_model_n_ctx_train(model.as_ptr()),
                sys::llama_model_n_swa(model.as_ptr()) > 0,
            )
        };
        if recurs || !answers_itself {
            return Err(
                "can't be run: only models that decode, and that remember by attention alone, are".to_owned()
            );
        }
        // Before its context, which has to know how much more there is to compute.
        let adapters: Result<Vec<_>, String> =
            adapters.iter().map(|file| load_adapter(model, file)).collect();
        let adapters = adapters?;
        let mut params = settings.params();
        adjust(&mut params);
        // SAFETY: the model lives as long as the process, and so do its context, its vocabulary and its memory.
        unsafe {
            let context = sys::llama_init_from_model(model.as_ptr(), params);
            let context = NonNull::new(context).ok_or_else(|| {
                format!("has no memory of {} tokens here: {}", settings.context, last_words())
            })?;
            keep_threads(context, settings.threads);
            let vocab = sys::llama_model_get_vocab(model.as_ptr());
            Ok(Self {
                context,
                vocab,
                adapters,
                adapter: None,
                memory: sys::llama_get_memory(context.as_ptr()),
                settings: Settings { context: sys::llama_n_ctx(context.as_ptr()), ..settings },
                tokens: sys::llama_vocab_n_tokens(vocab),
                trained_context: usize::try_from(trained_context).unwrap_or(0),
                slides,
            })
        }
    }

    /// As it is run: the context is what it got.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tokens that one sequence can look back on.
    pub fn reach(&self) -> usize {
        self.trained_context.min(self.settings.context as usize)
    }

    /// Adapters there are.
    pub fn adapters(&self) -> u32 {
        self.adapters.len() as u32
    }

    /// Lets the batches to come be computed with an adapter, or with none.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn adapt(&mut self, adapter: Option<u32>) -> Result<(), String> {
        if adapter == self.adapter {
            return Ok(());
        }
        let mut wanted: Vec<*mut sys::llama_adapter_lora> = Vec::new();
        if let Some(adapter) = adapter {
            let own = self.adapters.get(adapter as usize);
            let own =
                own.ok_or_else(|| format!("adapter {adapter}, and there are {}", self.adapters.len()))?;
            wanted.push(own.as_ptr());
        }
        let mut scales = vec![1.0_f32; wanted.len()];
        // SAFETY: both lists have as many places as is said, and what they name lives as long as the process.
        let code = unsafe {
            let context = self.context.as_ptr();
            sys::llama_set_adapters_lora(context, wanted.as_mut_ptr(), wanted.len(), scales.as_mut_ptr())
        };
        if code != 0 {
            return Err(format!("llama.cpp can't use adapter {adapter:?} ({code})"));
        }
        self.adapter = adapter;
        Ok(())
    }

    /// Tokens there are.
    pub fn vocabulary(&self) -> usize {
        usize::try_from(self.tokens).unwrap_or(0)
    }

    /// A text's tokens; none of a text that is longer than any request.
    pub fn tokens(&self, text: &str, begins: bool, special: bool) -> Vec<Token> {
        let Ok(length) = i32::try_from(text.len()) else { return Vec::new() };
        // No token is shorter than a byte but those that stand around a text.
        let mut tokens: Vec<Token> = vec![0; text.len() + 8];
        let mut room = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
        loop {
            // SAFETY: the text has `length` bytes, the list has `room` places.
            let count = unsafe {
                let text = text.as_ptr().cast::<c_char>();
                sys::llama_tokenize(self.vocab, text, length, tokens.as_mut_ptr(), room, begins, special)
            };
            match usize::try_from(count) {
                Ok(count) => {
                    tokens.truncate(count);
                    return tokens;
                }
                // It says how many places it needs.
                Err(_) if count > i32::MIN && -count > room => {
                    room = -count;
                    tokens.resize(room as usize, 0);
                }
                Err(_) => return Vec::new(),
            }
        }
    }

    /// The token that is put behind every text, where one is.
    pub fn ends_with(&self) -> Option<Token> {
        // SAFETY: the vocabulary lives as long as the process.
        unsafe { sys::llama_vocab_get_add_eos(self.vocab).then(|| sys::llama_vocab_eos(self.vocab)) }
    }

    /// The bytes a token stands for.
    pub fn bytes(&self, token: Token) -> Vec<u8> {
        if !self.is_token(token) {
            return Vec::new();
        }
        let mut bytes = vec![0_u8; 64];
        loop {
            let room = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            // SAFETY: the token is one of the vocabulary's, the list has `room` places.
            let count = unsafe {
                sys::llama_token_to_piece(
                    self.vocab,
                    token,
                    bytes.as_mut_ptr().cast::<c_char>(),
                    room,
                    0,
                    false,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    bytes.truncate(count);
                    return bytes;
                }
                Err(_) if count > i32::MIN && -count > room => bytes.resize(-count as usize, 0),
                Err(_) => return Vec::new(),
            }
        }
    }

    /// Whether the model says with it that it has ended.
    pub fn is_end(&self, token: Token) -> bool {
        // SAFETY: the token is one of the vocabulary's.
        self.is_token(token) && unsafe { sys::llama_vocab_is_eog(self.vocab, token) }
    }

    /// The tokens that llama.cpp itself finds for what stands before, behind and inside a hole; below 0 where it finds none.
    #[cfg(test)]
    pub fn hole(&self) -> [Token; 3] {
        // SAFETY: the vocabulary lives as long as the process.
        unsafe {
            [
                sys::llama_vocab_fim_pre(self.vocab),
                sys::llama_vocab_fim_suf(self.vocab),
                sys::llama_vocab_fim_mid(self.vocab),
            ]
        }
    }

    /// Whether layers look back through a window that slides. llama.cpp then puts new tokens where one sequence alone
    /// remembers what its window has passed.
    pub fn slides(&self) -> bool {
        self.slides
    }

    /// Lets a sequence remember the first tokens of what another does.
    ///
    /// # Errors
    /// One of them is none.
    pub fn copy(&mut self, from: Sequence, to: Sequence, tokens: u32) -> Result<(), String> {
        self.check_sequences(&[from, to])?;
        let end = i32::try_from(tokens).unwrap_or(i32::MAX);
        // SAFETY: both are sequences of one memory, in which any stretch of positions can be copied.
        unsafe { sys::llama_memory_seq_cp(self.memory, i32::from(from), i32::from(to), 0, end) };
        Ok(())
    }

    /// What a sequence remembers: keys and values of each layer, as llama.cpp lays them out.
    ///
    /// # Errors
    /// It is none, or can't be read.
    pub fn put_away(&mut self, sequence: Sequence) -> Result<Vec<u8>, String> {
        self.check_sequences(&[sequence])?;
        let (context, number) = (self.context.as_ptr(), i32::from(sequence));
        // SAFETY: it is a sequence; nothing is changed.
        let size = unsafe { sys::llama_state_seq_get_size(context, number) };
        let mut memory: Vec<u8> = Vec::with_capacity(size);
        // SAFETY: there is room for `size` bytes, and as many of them are written as the call says, `size` at most.
        unsafe {
            let written = sys::llama_state_seq_get_data(context, memory.as_mut_ptr(), size, number);
            memory.set_len(written.min(size));
        }
        match memory.is_empty() {
            true => Err(format!("what sequence {sequence} remembers can't be read: {}", last_words())),
            false => Ok(memory),
        }
    }

    /// Lets a sequence remember the first tokens of what was put away; `false` where there is no room for all of it.
    ///
    /// # Errors
    /// The sequence is none, or can't forget the rest.
    pub fn put_back(&mut self, memory: &[u8], to: Sequence, tokens: u32) -> Result<bool, String> {
        self.check_sequences(&[to])?;
        let (context, number) = (self.context.as_ptr(), i32::from(to));
        let end = i32::try_from(tokens).unwrap_or(i32::MAX);
        // SAFETY: the bytes are this context's own, and as many as is said; the sequence is one of it.
        unsafe {
            if sys::llama_state_seq_set_data(context, memory.as_ptr(), memory.len(), number) == 0 {
                // Said to nobody: the text is read anew.
                last_words();
                return self.forget(to).map(|()| false);
            }
            match sys::llama_memory_seq_rm(self.memory, number, end, -1) {
                true => Ok(true),
                false => self.forget(to).map(|()| false),
            }
        }
    }

    /// Lets a sequence forget everything.
    ///
    /// # Errors
    /// It is none, or can't.
    pub fn forget(&mut self, sequence: Sequence) -> Result<(), String> {
        self.check_sequences(&[sequence])?;
        // SAFETY: it is a sequence; all positions are removed.
        let done = unsafe { sys::llama_memory_seq_rm(self.memory, i32::from(sequence), -1, -1) };
        if done { Ok(()) } else { Err(format!("sequence {sequence} can't be forgotten")) }
    }

    /// Computes a batch.
    ///
    /// # Errors
    /// A sentence: what of it is out of bounds, or what llama.cpp says.
    pub fn compute(&mut self, batch: &[Piece]) -> Result<(), String> {
        self.check(batch)?;
        let mut tokens: Vec<i32> = batch.iter().map(|piece| piece.token).collect();
        let mut positions: Vec<i32> = batch.iter().map(|piece| piece.position as i32).collect();
        let mut counts: Vec<i32> = batch.iter().map(|piece| piece.sequences.len() as i32).collect();
        let mut wanted: Vec<i8> = batch.iter().map(|piece| i8::from(piece.wanted)).collect();
        let own = |piece: &Piece| piece.sequences.iter().map(|sequence| i32::from(*sequence)).collect();
        let mut sequences: Vec<Vec<i32>> = batch.iter().map(own).collect();
        let mut lists: Vec<*mut i32> = sequences.iter_mut().map(Vec::as_mut_ptr).collect();
        let batch = sys::llama_batch {
            n_tokens: tokens.len() as i32,
            token: tokens.as_mut_ptr(),
            embd: null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: lists.as_mut_ptr(),
            logits: wanted.as_mut_ptr(),
        };
        // SAFETY: each list has an entry for each token, `counts` says how long each token's list of sequences is, and all
        // of them live until the call is over.
        match unsafe { sys::llama_decode(self.context.as_ptr(), batch) } {
            0 => Ok(()),
            1 => Err("llama.cpp finds no room for a batch".to_owned()),
            code => Err(format!("llama.cpp can't compute a batch ({code}): {}", last_words())),
        }
    }

    /// What may follow the piece at a place of the last batch: a number for each token.
    ///
    /// # Errors
    /// The model gives none there.
    pub fn logits(&self, place: usize) -> Result<&[f32], String> {
        let none = || format!("the model says nothing of what may follow piece {place}");
        let place = i32::try_from(place).map_err(|_| none())?;
        // SAFETY: the numbers stay until the next batch, which needs `&mut self`; there is one for each token.
        unsafe {
            let logits =
                NonNull::new(sys::llama_get_logits_ith(self.context.as_ptr(), place)).ok_or_else(none)?;
            Ok(std::slice::from_raw_parts(logits.as_ptr(), self.vocabulary()))
        }
    }

    fn is_token(&self, token: Token) -> bool {
        (0..self.tokens).contains(&token)
    }

    fn check_sequences(&self, sequences: &[Sequence]) -> Result<(), String> {
        let most = self.settings.sequences;
        match sequences.iter().find(|sequence| **sequence >= most) {
            Some(sequence) => Err(format!("sequence {sequence}, and there are {most}")),
            None => Ok(()),
        }
    }

    /// What llama.cpp would abort at, in a sentence.
    fn check(&self, batch: &[Piece]) -> Result<(), String> {
        let most = self.settings.batch as usize;
        if batch.is_empty() || batch.len() > most {
            return Err(format!("a batch of {} tokens, and 1 to {most} can be", batch.len()));
        }
        for Piece { token, position, sequences, .. } in batch {
            if !self.is_token(*token) {
                return Err(format!("token {token} is none of the {}", self.tokens));
            }
            if *position as usize >= self.reach() {
                return Err(format!("place {position}, and the model looks back on {}", self.reach()));
            }
            if sequences.is_empty() {
                return Err(format!("token {token} belongs to no sequence"));
            }
            self.check_sequences(sequences)?;
        }
        Ok(())
    }
}

/// Lets a context compute on threads that stay: llama.cpp would begin and end them with each batch.
///
/// # Safety
/// The context is one.
unsafe fn keep_threads(context: NonNull<sys::llama_context>, threads: u32) {
    type New = unsafe extern "C" fn(*mut sys::ggml_threadpool_params) -> sys::ggml_threadpool_t;
    let Ok(threads @ 2..) = i32::try_from(threads) else { return };
    // SAFETY: the kernels that compute are asked for their own function, by the name that they know it by; it is of that type,
    // and null where there is none. The threads live as long as the process, as the context does.
    unsafe {
        let kernels = sys::ggml_backend_reg_by_name(c"CPU".as_ptr());
        if kernels.is_null() {
            return;
        }
        let found = sys::ggml_backend_reg_get_proc_address(kernels, c"ggml_threadpool_new".as_ptr());
        let Some(new) = std::mem::transmute::<*mut c_void, Option<New>>(found) else { return };
        let mut params = sys::ggml_threadpool_params_default(threads);
        params.poll = POLL;
        let pool = new(&raw mut params);
        if !pool.is_null() {
            sys::llama_attach_threadpool(context.as_ptr(), pool, pool);
        }
    }
}

/// Loads one adapter. The file has been held against the model's.
fn load_adapter(
    model: NonNull<sys::llama_model>,
    file: &Path,
) -> Result<NonNull<sys::llama_adapter_lora>, String> {
    let path = c_path(file)?;
    // SAFETY: the path ends with a 0; the model lives as long as the process, and so does the adapter.
    let adapter = unsafe { sys::llama_adapter_lora_init(model.as_ptr(), path.as_ptr()) };
    NonNull::new(adapter)
        .ok_or_else(|| format!("can't have the adapter {}: {}", file.display(), last_words()))
}

impl Settings {
    fn params(&self) -> sys::llama_context_params {
        // SAFETY: it only returns numbers.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = self.context;
        params.n_batch = self.batch;
        params.n_ubatch = self.at_once;
        params.n_seq_max = u32::from(self.sequences);
        params.n_threads = self.threads as i32;
        params.n_threads_batch = self.threads as i32;
        // Sequences share one memory: what they have in common is there once.
        params.kv_unified = true;
        // A window that slides forgets what a prompt's copies still need.
        params.swa_full = true;
        params.no_perf = true;
        if self.exact {
            params.type_k = sys::GGML_TYPE_F32;
            params.type_v = sys::GGML_TYPE_F32;
            params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_DISABLED;
        }
        params
    }
}

/// A file's name as C has it.
pub(super) fn c_path(file: &Path) -> Result<CString, String> {
    let path = file.to_str().and_then(|path| CString::new(path).ok());
    path.ok_or_else(|| "has a name that is no text".to_owned())
}

/// What comes before everything else.
///
/// # Errors
/// This processor can't run decoders, or not with the kernels that were asked for.
pub(super) fn begin() -> Result<(), String> {
    choose_kernels()?;
    // SAFETY: both may be called at any time, and the listener is a function that lives forever.
    unsafe {
        sys::llama_log_set(Some(listen), null_mut());
        sys::llama_backend_init();
    }
    Ok(())
}

/// Complaints that nobody has asked for yet.
static LAST_WORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What llama.cpp complained of since it was last asked: the first says the most.
pub(super) fn last_words() -> String {
    let words = std::mem::take(&mut *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner));
    match words.is_empty() {
        true => "it didn't say why".to_owned(),
        false => words.join("; "),
    }
}

/// Complaints go to the process's own words; everything else that llama.cpp has to say is left out.
unsafe extern "C" fn listen(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() || (level != sys::GGML_LOG_LEVEL_WARN && level != sys::GGML_LOG_LEVEL_ERROR) {
        return;
    }
    // SAFETY: llama.cpp gives a text that ends with a 0, and lives until this returns.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    eprint!("{text}");
    if level == sys::GGML_LOG_LEVEL_ERROR {
        let mut words = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() < MOST_WORDS {
            words.push(text.trim().chars().take(300).collect());
        }
    }
}
