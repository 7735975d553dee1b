//! Attention within each text, forward and back: texts lie one after the other without padding.

use super::super::EncoderConfig;
use super::activation::exp;
use super::matrix::{Before, Matrix, multiply};

/// Texts of a batch, one after the other: text `i` has the tokens `starts[i]..starts[i + 1]`.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    pub starts: &'a [usize],
}

impl Texts<'_> {
    /// Tokens of each text.
    pub fn each(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Numbers that the shares of attention of all texts and heads take.
    pub fn shares(&self, heads: usize) -> usize {
        self.each().map(|text| text.len() * text.len() * heads).sum()
    }
}

/// From `qkv` (three vectors a token) to `out` (one); `shares` keeps who looked at whom.
pub fn forward(config: &EncoderConfig, texts: Texts<'_>, qkv: &[f32], shares: &mut [f32], out: &mut [f32]) {
    let mut rest = shares;
    for_each_head(config, texts, |head| {
        let (shares, further) = std::mem::take(&mut rest).split_at_mut(head.tokens * head.tokens);
        rest = further;
        let [q, k, v] = head.parts(qkv);
        multiply(shares, head.tokens, q, k.transposed(), head.scale, Before::Replaced);
        shares.chunks_exact_mut(head.tokens).for_each(softmax);
        let weights = Matrix::new(shares, head.tokens, head.tokens);
        multiply(&mut out[head.out_at..], head.hidden, weights, v, 1.0, Before::Replaced);
    });
}

/// From the gradient of `out` to that of `qkv`. `scratch` has room for the longest text's tokens squared.
pub fn backward(
    config: &EncoderConfig,
    texts: Texts<'_>,
    qkv: &[f32],
    shares: &[f32],
    gradient: &[f32],
    scratch: &mut [f32],
    to_qkv: &mut [f32],
) {
    let mut rest = shares;
    for_each_head(config, texts, |head| {
        let (tokens, square) = (head.tokens, head.tokens * head.tokens);
        let (shares, further) = rest.split_at(square);
        rest = further;
        let to_shares = &mut scratch[..square];
        let [q, k, v] = head.parts(qkv);
        let stride = 3 * head.hidden;
        let gradient = Matrix::strided(&gradient[head.out_at..], tokens, head.width, head.hidden);
        let weights = Matrix::new(shares, tokens, tokens);
        multiply(&mut to_qkv[head.at(2)..], stride, weights.transposed(), gradient, 1.0, Before::Replaced);
        multiply(to_shares, tokens, gradient, v.transposed(), 1.0, Before::Replaced);
        for (to, shares) in to_shares.chunks_exact_mut(tokens).zip(shares.chunks_exact(tokens)) {
            softmax_backward(to, shares);
        }
        let to_scores = Matrix::new(to_shares, tokens, tokens);
        multiply(&mut to_qkv[head.at(0)..], stride, to_scores, k, head.scale, Before::Replaced);
        multiply(&mut to_qkv[head.at(1)..], stride, to_scores.transposed(), q, head.scale, Before::Replaced);
    });
}

/// One head of one text.
struct Head {
    tokens: usize,
    width: usize,
    hidden: usize,
    scale: f32,
    /// Where the head's query of the text's first token begins.
    qkv_at: usize,
    /// Where its result begins.
    out_at: usize,
}

impl Head {
    /// Where query (0), key (1) or value (2) begin.
    fn at(&self, part: usize) -> usize {
        self.qkv_at + part * self.hidden
    }

    fn parts<'a>(&self, qkv: &'a [f32]) -> [Matrix<'a>; 3] {
        [0, 1, 2].map(|part| Matrix::strided(&qkv[self.at(part)..], self.tokens, self.width, 3 * self.hidden))
    }
}

fn for_each_head(config: &EncoderConfig, texts: Texts<'_>, mut visit: impl FnMut(Head)) {
    let width = config.hidden / config.heads;
    for text in texts.each().filter(|text| !text.is_empty()) {
        for head in 0..config.heads {
            visit(Head {
                tokens: text.len(),
                width,
                hidden: config.hidden,
                scale: (width as f32).sqrt().recip(),
                qkv_at: text.start * 3 * config.hidden + head * width,
                out_at: text.start * config.hidden + head * width,
            });
        }
    }
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - most));
    let scale = row.iter().sum::<f32>().recip();
    row.iter_mut().for_each(|x| *x *= scale);
}

fn softmax_backward(gradient: &mut [f32], shares: &[f32]) {
    let along: f32 = gradient.iter().zip(shares).map(|(g, share)| g * share).sum();
    gradient.iter_mut().zip(shares).for_each(|(g, share)| *g = (*g - along) * share);
}
