//! Which kinds of tensors are there, and how many bytes has each?

/// A tensor, as the file's table lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its sizes, the fastest-moving first.
    pub sizes: Vec<u64>,
    /// How its numbers are stored.
    pub kind: TensorKind,
    /// Where it begins, from the start of the data.
    pub offset: u64,
}

impl Tensor {
    /// Numbers in it; `None` where they can't be counted.
    pub fn numbers(&self) -> Option<u64> {
        self.sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
    }

    /// Bytes in the file; `None` where they can't be counted, or where a row is no whole number of blocks.
    pub fn bytes(&self) -> Option<u64> {
        let (numbers, bytes) = self.kind.block();
        let row = *self.sizes.first()?;
        if row % numbers != 0 {
            return None;
        }
        (self.numbers()? / numbers).checked_mul(bytes)
    }
}

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorKind(u32);

/// Code, name, numbers in a block and bytes of a block: ggml's `ggml_type` and `type_traits`.
const KINDS: [(u32, &str, u64, u64); 32] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
];

impl TensorKind {
    /// 32-bit numbers.
    pub const F32: Self = Self(0);
    /// 16-bit numbers.
    pub const F16: Self = Self(1);
    /// 16-bit numbers with the range of 32-bit ones.
    pub const BF16: Self = Self(30);
    /// 4 bits and a scale for each 32.
    pub const Q4_0: Self = Self(2);
    /// 4 bits, a scale and a middle for each 32.
    pub const Q4_1: Self = Self(3);
    /// 5 bits and a scale for each 32.
    pub const Q5_0: Self = Self(6);
    /// 5 bits, a scale and a middle for each 32.
    pub const Q5_1: Self = Self(7);
    /// 8 bits and a scale for each 32.
    pub const Q8_0: Self = Self(8);
    /// 4 bits, in blocks of 256.
    pub const Q4_K: Self = Self(12);
    /// 5 bits, in blocks of 256.
    pub const Q5_K: Self = Self(13);
    /// 6 bits, in blocks of 256.
    pub const Q6_K: Self = Self(14);

    /// By the number in the file; `None` of one that isn't known here.
    pub fn from_code(code: u32) -> Option<Self> {
        KINDS.iter().any(|(known, ..)| *known == code).then_some(Self(code))
    }

    /// The number in the file.
    pub fn code(self) -> u32 {
        self.0
    }

    /// Whether numbers share a scale, and can't be had back as they were.
    pub fn is_quantized(self) -> bool {
        self.block().0 > 1
    }

    /// Its name, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Numbers in a block, and the bytes of one.
    pub fn block(self) -> (u64, u64) {
        let (_, _, numbers, bytes) = self.row();
        (*numbers, *bytes)
    }

    fn row(self) -> &'static (u32, &'static str, u64, u64) {
        KINDS.iter().find(|(code, ..)| *code == self.0).unwrap_or(&KINDS[0])
    }
}
