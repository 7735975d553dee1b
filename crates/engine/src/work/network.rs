//! What must a network be able to do?

use crate::gguf::HoleTokens;

/// A token, by its number in the vocabulary.
pub type Token = i32;

/// One line of tokens that the network remembers.
pub type Sequence = u16;

/// One token to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which token.
    pub token: Token,
    /// How many stand before it in each of its sequences.
    pub position: u32,
    /// The sequences it belongs to: it is computed once for all of them.
    pub sequences: Vec<Sequence>,
    /// Whether what may follow is asked for.
    pub wanted: bool,
}

/// A language model with a memory of several sequences.
pub trait Network {
    /// Tokens that all sequences together can remember; one that several share counts once.
    fn room(&self) -> usize;

    /// Tokens that one sequence can look back on.
    fn reach(&self) -> usize;

    /// Most tokens of a batch.
    fn batch(&self) -> usize;

    /// Most tokens of a batch after which something may be wanted.
    fn rows(&self) -> usize {
        self.batch()
    }

    /// Sequences there are: 0 and up.
    fn sequences(&self) -> Sequence;

    /// Adapters there are: 0 and up.
    fn adapters(&self) -> u32;

    /// Tokens there are: 0 and up.
    fn vocabulary(&self) -> usize;

    /// A text's tokens. `begins`: it stands at the very beginning. `special`: the words that the vocabulary keeps for
    /// itself are read as such, which no text of a stranger may be.
    fn tokens(&self, text: &str, begins: bool, special: bool) -> Vec<Token>;

    /// The bytes a token stands for; none for those that stand for nothing that is shown.
    fn bytes(&self, token: Token) -> Vec<u8>;

    /// Whether the model says with it that it has ended.
    fn is_end(&self, token: Token) -> bool;

    /// The tokens that it was taught to fill holes with; `None` where it was not.
    fn hole(&self) -> Option<HoleTokens> {
        None
    }

    /// Whether layers look back through a window that slides: of a beginning, what lies before the window may be gone, so
    /// that only all of what a sequence remembers can be gone on from.
    fn slides(&self) -> bool;

    /// Lets `to`, which remembers nothing, remember the first `tokens` of what `from` does.
    ///
    /// # Errors
    /// In a sentence.
    fn fork(&mut self, from: Sequence, to: Sequence, tokens: u32) -> Result<(), String>;

    /// What a sequence remembers, to be put back later. The sequence goes on remembering it.
    ///
    /// # Errors
    /// In a sentence.
    fn put_away(&mut self, sequence: Sequence) -> Result<Vec<u8>, String>;

    /// Lets `to`, which remembers nothing, remember the first `tokens` of what was put away; all of it has to fit for a
    /// moment. `false` where it can't be: then `to` remembers nothing.
    ///
    /// # Errors
    /// In a sentence.
    fn put_back(&mut self, memory: &[u8], to: Sequence, tokens: u32) -> Result<bool, String>;

    /// Lets a sequence forget everything.
    ///
    /// # Errors
    /// In a sentence.
    fn forget(&mut self, sequence: Sequence) -> Result<(), String>;

    /// Computes a batch with one adapter or none, and gives each wanted piece's place in it with a number for each token that may follow: the
    /// logarithm of how likely it is, but for a constant.
    ///
    /// # Errors
    /// In a sentence; then none of the batch is remembered.
    fn compute(
        &mut self,
        batch: &[Piece],
        adapter: Option<u32>,
        row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), String>;
}
