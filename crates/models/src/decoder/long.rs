//! How is a text answered that is longer than the model can look back on? In pieces: each is asked about as if it were all there
//! is, and what was answered becomes one answer. What is asked next depends on nothing but what was heard; who asks, and when, is
//! others' business.

use serde::{Deserialize, Serialize};
use sprat_engine::protocol::{End, Written};
use sprat_task::{Long, ModelError};

use super::cut::{Cut, cut};
use super::generate::{Answered, Unanswered, Wanted};

/// Pieces that a text is cut into at most: of a longer one the large model makes more.
pub const MOST_PIECES: usize = 16;
/// How often answers are asked about again at most.
const MOST_ROUNDS: usize = 4;
/// Of the bytes that a piece may have, as reckoned from another, those that it is given: some take more tokens than others.
const SHARE: f64 = 0.9;

/// How texts are answered that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InPieces {
    /// How the pieces' answers become one.
    pub how: Long,
    /// Bytes of the longest text whose answer surely has room.
    pub longest: usize,
}

/// What holds for every text of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// What becomes of long texts; `None`: they have no answer.
    pub long: Option<InPieces>,
    /// Whether the blanks at an answer's ends are part of it.
    pub keeps_blanks: bool,
    /// Bytes of what stands around every text.
    pub prompt: usize,
}

/// What is asked about a text, or a piece of one.
pub type Asks<'a> = dyn Fn(&str) -> Result<Wanted, ModelError> + Send + 'a;

/// One text on its way to an answer.
pub struct Course<'a> {
    way: Way,
    asks: Box<Asks<'a>>,
    /// What is asked about in this round, as a whole.
    text: String,
    /// Its pieces, in order.
    pieces: Vec<Piece>,
    /// Bytes that a piece may have, as far as is known.
    fits: usize,
    /// The number of the next question.
    next: u64,
    round: usize,
    /// What was written in the rounds before.
    earlier: Vec<Part>,
}

struct Piece {
    text: String,
    /// The white space that stood behind it.
    space: String,
    /// The number of the question about it.
    question: u64,
    /// Bytes of the question, with all that stands around it, and the tokens that its answer may have.
    asked: (usize, u32),
    answer: Option<Answered>,
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What its answer is named by.
    pub number: u64,
    /// What is asked.
    pub wanted: Wanted,
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// These are to be asked, all at once; none where others are still to be answered.
    Ask(Vec<Question>),
    /// That was all.
    Done(Result<Whole, ModelError>),
}

/// All that was written about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// The answer.
    pub text: String,
    /// Each of the model's own answers, in the order in which they stand in the text, those of earlier rounds first. There is
    /// one at least.
    pub parts: Vec<Part>,
}

/// One answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Tokens read.
    pub read: u32,
    /// The tokens written, one at least.
    pub written: Vec<Written>,
}

impl<'a> Course<'a> {
    /// Begins with a text; the second is what to ask.
    pub fn begin(
        way: Way,
        text: &str,
        asks: impl Fn(&str) -> Result<Wanted, ModelError> + Send + 'a,
    ) -> (Self, Next) {
        let fits = match way.long {
            Some(InPieces { how: Long::Join, longest }) => longest,
            // What is summarised is shorter than the text, however long that is.
            Some(InPieces { how: Long::Again, .. }) | None => usize::MAX,
        };
        let (pieces, earlier) = (Vec::new(), Vec::new());
        let mut course =
            Self { way, asks: Box::new(asks), text: String::new(), pieces, fits, next: 0, round: 0, earlier };
        let first = course.ask_about(text.to_owned());
        (course, first)
    }

    /// Hears the answer to a question.
    pub fn hear(&mut self, number: u64, answer: Result<Answered, Unanswered>) -> Next {
        // A piece that was cut once more is no longer waited for.
        let Some(place) = self.pieces.iter().position(|piece| piece.question == number) else {
            return Next::Ask(Vec::new());
        };
        let piece = &mut self.pieces[place];
        match answer {
            Err(Unanswered::Failed(error)) => Next::Done(Err(error)),
            Err(Unanswered::TooLong { .. }) | Ok(Answered { end: End::Context, .. })
                if self.way.long.is_some() =>
            {
                let fits = match answer {
                    Err(Unanswered::TooLong { tokens, room }) => piece.fits(tokens, room),
                    _ => piece.text.len() / 2,
                };
                self.shorten(place, fits)
            }
            Err(too_long) => Next::Done(Err(too_long.into())),
            Ok(answered) => match finished(&answered) {
                Err(why) => Next::Done(Err(ModelError::BadAnswer(why))),
                Ok(()) => {
                    piece.answer = Some(answered);
                    self.go_on()
                }
            },
        }
    }

    /// Begins a round.
    fn ask_about(&mut self, text: String) -> Next {
        let cuts = match self.way.long {
            Some(_) => pieces(&text, self.fits, MOST_PIECES),
            None => Some(vec![Cut { text: &text, space: "" }]),
        };
        let Some(cuts) = cuts else { return too_many() };
        self.pieces.clear();
        let asked = self.ask(cuts, 0);
        self.text = text;
        asked
    }

    /// Cuts a piece into shorter ones.
    fn shorten(&mut self, place: usize, fits: usize) -> Next {
        let piece = self.pieces.remove(place);
        // With what stands around it there is no room for anything.
        if fits == 0 {
            return too_many();
        }
        self.fits = self.fits.min(fits).min(piece.text.len().saturating_sub(1));
        match pieces(&piece.text, self.fits, MOST_PIECES.saturating_sub(self.pieces.len())) {
            Some(mut cuts) if cuts.len() > 1 => {
                if let Some(last) = cuts.last_mut() {
                    last.space = &piece.space;
                }
                self.ask(cuts, place)
            }
            // It is too many, or one character.
            _ => too_many(),
        }
    }

    /// What to ask about new pieces that stand at a place.
    fn ask(&mut self, cuts: Vec<Cut<'_>>, place: usize) -> Next {
        let mut questions = Vec::new();
        for (behind, Cut { text, space }) in cuts.into_iter().enumerate() {
            let wanted = match (self.asks)(text) {
                Ok(wanted) => wanted,
                Err(error) => return Next::Done(Err(error)),
            };
            let piece = Piece {
                text: text.to_owned(),
                space: space.to_owned(),
                question: self.next,
                asked: (self.way.prompt + wanted.text.len(), wanted.most_tokens),
                answer: None,
            };
            self.pieces.insert(place + behind, piece);
            questions.push(Question { number: self.next, wanted });
            self.next += 1;
        }
        Next::Ask(questions)
    }

    /// What comes after a piece was answered.
    fn go_on(&mut self) -> Next {
        if self.pieces.iter().any(|piece| piece.answer.is_none()) {
            return Next::Ask(Vec::new());
        }
        let pieces = std::mem::take(&mut self.pieces);
        let was_whole = pieces.len() == 1;
        let mut text = String::new();
        for Piece { answer, space, .. } in pieces {
            let Some(Answered { text: said, read, written, .. }) = answer else { continue };
            text.push_str(if self.way.keeps_blanks { &said } else { said.trim() });
            text.push_str(&space);
            self.earlier.push(Part { read, written });
        }
        let is_one = was_whole || self.way.long.is_none_or(|long| long.how == Long::Join);
        if is_one {
            return Next::Done(Ok(Whole { text, parts: std::mem::take(&mut self.earlier) }));
        }
        self.round += 1;
        if text.len() >= self.text.len() || self.round >= MOST_ROUNDS {
            let why = "what it says of the pieces of a long text doesn't get shorter";
            return Next::Done(Err(ModelError::BadAnswer(why.to_owned())));
        }
        self.ask_about(text)
    }
}

impl Piece {
    /// How many bytes of it would have had room, with what stands around them and the answer; 0 where none.
    fn fits(&self, tokens: u64, room: u64) -> usize {
        let (bytes, answer) = self.asked;
        let bytes_a_token = bytes as f64 / tokens.max(1) as f64;
        let room = room.saturating_sub(u64::from(answer)) as f64 * bytes_a_token * SHARE;
        // What is below 0 becomes 0.
        (room - (bytes - self.text.len()) as f64) as usize
    }
}

/// The pieces of a text; `None` where there are too many. One of megabytes isn't searched for places to cut it at.
fn pieces(text: &str, longest: usize, most: usize) -> Option<Vec<Cut<'_>>> {
    let far_too_many = text.len() / longest.max(1) > 4 * MOST_PIECES;
    if far_too_many { None } else { cut(text, longest, most) }
}

/// Whether an answer is one.
///
/// # Errors
/// Nothing was written, or it broke off.
fn finished(Answered { text, end, written, .. }: &Answered) -> Result<(), String> {
    if matches!(end, End::MostTokens | End::Context) {
        return Err(format!("it isn't finished after {} tokens", written.len()));
    }
    match text.trim().is_empty() || written.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Ok(()),
    }
}

fn too_many() -> Next {
    let why = format!("the text is too long for the model, also in {MOST_PIECES} pieces");
    Next::Done(Err(ModelError::Refused(why)))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A model that can be reckoned by hand: a token is two bytes, and of `room` tokens the text has what the answer leaves.
    struct Model<'a> {
        room: u64,
        most_tokens: u32,
        says: &'a dyn Fn(&str) -> String,
        /// What it was asked, and whether it answered.
        asked: Vec<(String, bool)>,
    }

    /// What stands around every text.
    const PROMPT: usize = 20;

    fn written(log_probability: f32) -> Written {
        Written { bytes: 2, log_probability, margin: 1.0, text: Vec::new(), likeliest: Vec::new() }
    }

    impl Model<'_> {
        fn of(room: u64, most_tokens: u32, says: &dyn Fn(&str) -> String) -> Model<'_> {
            Model { room, most_tokens, says, asked: Vec::new() }
        }

        fn answer(&mut self, text: &str) -> Result<Answered, Unanswered> {
            let tokens = (PROMPT + text.len()).div_ceil(2) as u64;
            let is_read = tokens <= self.room;
            self.asked.push((text.to_owned(), is_read));
            if !is_read {
                return Err(Unanswered::TooLong { tokens, room: self.room });
            }
            let said = (self.says)(text);
            let own = said.len().div_ceil(2) as u64 + 1;
            let left = (self.room - tokens).min(u64::from(self.most_tokens));
            let end = match own <= left {
                true => End::Model,
                false if left < u64::from(self.most_tokens) => End::Context,
                false => End::MostTokens,
            };
            let written = (0..own.min(left)).map(|_| written(-0.5)).collect();
            Ok(Answered { text: said, end, read: tokens as u32, written })
        }

        /// The answer to a text, the pieces of which are answered in the order in which they were asked about, or the other way
        /// round.
        fn course(
            &mut self,
            long: Option<InPieces>,
            text: &str,
            backwards: bool,
        ) -> Result<Whole, ModelError> {
            let most_tokens = self.most_tokens;
            let way = Way { long, keeps_blanks: false, prompt: PROMPT };
            let (mut course, mut next) = Course::begin(way, text, |piece| {
                Ok(Wanted { text: piece.to_owned(), most_tokens, ..Wanted::default() })
            });
            let mut waiting = VecDeque::new();
            loop {
                match next {
                    Next::Done(result) => return result,
                    Next::Ask(questions) => waiting.extend(questions),
                }
                let question = if backwards { waiting.pop_back() } else { waiting.pop_front() };
                let Question { number, wanted } = question.expect("something is asked until it is done");
                let answer = self.answer(&wanted.text);
                next = course.hear(number, answer);
            }
        }
    }

    const JOIN: Option<InPieces> = Some(InPieces { how: Long::Join, longest: usize::MAX });
    const AGAIN: Option<InPieces> = Some(InPieces { how: Long::Again, longest: usize::MAX });

    fn louder(text: &str) -> String {
        text.to_uppercase()
    }

    /// Ten lines of twenty bytes.
    fn ten_lines() -> String {
        (0..10).map(|line| format!("a line with number {line}\n")).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn pieces_are_answered_by_themselves_and_joined_as_they_stood() {
        for backwards in [false, true] {
            let mut model = Model::of(100, 40, &louder);
            let whole = model.course(JOIN, &ten_lines(), backwards).unwrap();
            assert_eq!(whole.text, ten_lines().to_uppercase());
            // The whole is refused once; what that tells is enough to cut it rightly.
            let refused = model.asked.iter().filter(|(_, is_read)| !is_read).count();
            assert_eq!((refused, whole.parts.len()), (1, model.asked.len() - 1), "{:?}", model.asked);
            assert!(whole.parts.len() > 1);
            assert!(model.asked[1..].iter().all(|(piece, _)| piece.lines().all(|line| line.len() == 20)));
        }
    }

    #[test]
    fn a_text_that_fits_is_asked_about_once_whatever_becomes_of_long_ones() {
        for long in [None, JOIN, AGAIN] {
            let mut model = Model::of(400, 200, &louder);
            let whole = model.course(long, " a text \n", false).unwrap();
            assert_eq!((whole.text.as_str(), model.asked.len()), ("A TEXT", 1));
        }
    }

    #[test]
    fn a_long_text_has_no_answer_where_the_task_says_nothing_of_it() {
        let mut model = Model::of(100, 40, &louder);
        let told = model.course(None, &ten_lines(), false);
        let why = "115 tokens, and the model has room for 100".to_owned();
        assert_eq!((told, model.asked.len()), (Err(ModelError::Refused(why)), 1));
    }

    #[test]
    fn what_was_said_of_pieces_is_asked_about_again_until_it_is_one_answer() {
        // It keeps the number of each line.
        let shorter = |text: &str| {
            let numbers = text.lines().filter_map(|line| line.rsplit("number ").next());
            numbers.collect::<Vec<_>>().join(" ")
        };
        let mut model = Model::of(100, 40, &shorter);
        let whole = model.course(AGAIN, &ten_lines(), false).unwrap();
        assert_eq!(whole.text, "0 1 2 3 4 5 6 7 8 9");
        let (last, _) = model.asked.last().unwrap();
        assert!(
            last.contains('\n') && last.len() < 30,
            "what was said of the pieces stands in lines: {last}"
        );
        // The last answer is the last of the parts.
        assert_eq!(whole.parts.len(), model.asked.iter().filter(|(_, is_read)| *is_read).count());
    }

    #[test]
    fn answers_that_dont_get_shorter_are_given_up() {
        let mut model = Model::of(100, 60, &louder);
        let told = model.course(AGAIN, &ten_lines(), false);
        assert!(matches!(&told, Err(ModelError::BadAnswer(why)) if why.contains("shorter")), "{told:?}");
        assert!(model.asked.len() <= 1 + MOST_PIECES);
    }

    #[test]
    fn one_piece_whose_answer_isnt_finished_leaves_no_answer() {
        let wordy = |text: &str| if text.contains('7') { "word ".repeat(99) } else { text.to_owned() };
        let told = Model::of(100, 40, &wordy).course(JOIN, &ten_lines(), false);
        let why = "it isn't finished after 40 tokens".to_owned();
        assert_eq!(told, Err(ModelError::BadAnswer(why)));
        let silent = |text: &str| if text.contains('7') { " \n".to_owned() } else { text.to_owned() };
        let told = Model::of(100, 40, &silent).course(JOIN, &ten_lines(), false);
        assert_eq!(told, Err(ModelError::BadAnswer("it is empty".to_owned())));
    }

    #[test]
    fn a_text_that_leaves_its_answer_no_room_is_cut_too() {
        // 95 tokens of 100 are read, and the answer may have 60.
        let text = "word ".repeat(34);
        let mut model = Model::of(100, 60, &louder);
        assert_eq!(model.course(JOIN, &text, false).unwrap().text, text.trim().to_uppercase());
        assert!(model.asked[0].1 && model.asked.len() > 2, "{:?}", model.asked);
        let told = Model::of(100, 60, &louder).course(None, &text, false);
        assert!(matches!(told, Err(ModelError::BadAnswer(_))), "without pieces it is broken off");
    }

    #[test]
    fn texts_whose_answers_would_have_no_room_are_cut_before_anything_is_asked() {
        let long = Some(InPieces { how: Long::Join, longest: 50 });
        let mut model = Model::of(1_000, 30, &louder);
        let whole = model.course(long, &ten_lines(), false).unwrap();
        assert_eq!(whole.text, ten_lines().to_uppercase());
        assert!(
            model.asked.iter().all(|(piece, is_read)| piece.len() <= 50 && *is_read),
            "{:?}",
            model.asked
        );
        // What is summarised has a short answer.
        let long = Some(InPieces { how: Long::Again, longest: 50 });
        let mut model = Model::of(1_000, 30, &|_| "short".to_owned());
        assert_eq!(model.course(long, &ten_lines(), false).unwrap().parts.len(), 1);
    }

    #[test]
    fn a_text_of_more_pieces_than_may_be_is_refused_at_once() {
        let mut model = Model::of(100, 40, &louder);
        let told = model.course(JOIN, &ten_lines().repeat(40), false);
        assert!(matches!(&told, Err(ModelError::Refused(why)) if why.contains("16 pieces")), "{told:?}");
        assert_eq!(model.asked.len(), 1);
        // Where it is known beforehand, nothing is asked.
        let long = Some(InPieces { how: Long::Join, longest: 50 });
        let mut model = Model::of(100, 40, &louder);
        let told = model.course(long, &"word ".repeat(1 << 20), false);
        assert!(matches!(told, Err(ModelError::Refused(_))) && model.asked.is_empty(), "{told:?}");
        // No piece is short enough beside a prompt that leaves no room.
        let mut model = Model::of(9, 4, &louder);
        let told = model.course(JOIN, "a few words", false);
        assert!(matches!(told, Err(ModelError::Refused(_))), "{told:?}");
        assert_eq!(model.asked.len(), 1);
    }

    #[test]
    fn what_comes_of_a_piece_that_was_cut_once_more_changes_nothing() {
        let way = Way { long: JOIN, keeps_blanks: false, prompt: 0 };
        let (mut course, first) =
            Course::begin(way, "one two", |text| Ok(Wanted { text: text.to_owned(), ..Wanted::default() }));
        assert!(matches!(first, Next::Ask(questions) if questions.len() == 1));
        let too_long = || Err(Unanswered::TooLong { tokens: 800, room: 700 });
        assert!(matches!(course.hear(0, too_long()), Next::Ask(questions) if questions.len() == 2));
        assert_eq!(course.hear(0, too_long()), Next::Ask(Vec::new()));
        let failed = Err(Unanswered::Failed(ModelError::Timeout));
        assert_eq!(course.hear(1, failed), Next::Done(Err(ModelError::Timeout)));
    }

    proptest! {
        #[test]
        fn it_always_ends_with_few_questions_and_says_what_the_pieces_say(
            words in proptest::collection::vec("[a-zä]{1,12}|[.]\n\n|\n", 0..120),
            room in 8_u64..300,
            most_tokens in 1_u32..150,
            longest in 1_usize..400,
            backwards in any::<bool>(),
            joins in any::<bool>(),
        ) {
            let text = words.join(" ");
            let how = if joins { Long::Join } else { Long::Again };
            let mut model = Model::of(room, most_tokens, &louder);
            let told = model.course(Some(InPieces { how, longest }), &text, backwards);
            if let Ok(whole) = &told {
                // A text that is said again as it is never gets shorter: it was answered whole.
                prop_assert!(joins || whole.parts.len() == 1);
                let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                prop_assert_eq!(words(&whole.text), words(&text.to_uppercase()));
                prop_assert!(whole.parts.len() <= MOST_PIECES);
            }
            // Each piece that is cut gives two at the least; what is asked about again may be shorter by its white space.
            let rounds = if joins { 1 } else { MOST_ROUNDS };
            prop_assert!(model.asked.len() <= rounds * 2 * MOST_PIECES, "{} questions", model.asked.len());
        }
    }
}
