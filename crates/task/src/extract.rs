//! Fields found in a text: what is declared, how a value is written, and where in the text it stands.
//!
//! | question | file |
//! |---|---|
//! | Which fields does a task declare? | [`field`] |
//! | What is the one way in which a value is written? | [`value`] |
//! | How does a person write a value? | [`spoken`] |
//! | Which record is the same as which? | [`record`] |
//! | Where do the words of a text begin and end? | [`words`] |
//! | Where does a value stand in the text? | [`spans`] |
//! | Where do the values of a labelled row stand? | [`align`] |

pub mod align;
pub mod field;
pub mod record;
pub mod spans;
pub mod spoken;
pub mod value;
pub mod words;

pub use align::{Aligned, Mark, align};
pub use field::{DateOrder, Field, FieldType, Pattern};
pub use record::{Record, WrongRecord};
pub use spans::{Place, Span};
