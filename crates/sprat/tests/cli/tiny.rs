//! A task that the tiny encoder learns and no linear model can: in half of the mails, exactly one of two words means a
//! refund, both or neither mean delivery. One word settles most of the others; a few say nothing, and nobody can know.

use crate::workspace::Workspace;

/// The encoder, all of it trained.
pub const FINE_TUNED: &str = "fine_tune = \"always\"\nepochs = 30\nlearning_rate = 0.005\n";
/// The encoder as it came, with a head of its own.
pub const FROZEN: &str = "fine_tune = \"never\"\n";

const ROWS: usize = 4_000;

/// The rows, the base model in `tiny`, and a ladder of the linear rung and the encoder; `config` comes before the encoder
/// in `sprat.toml`, and `end` says in the task's file where its ladder ends.
pub fn workspace(config: &str, setting: &str, end: &str) -> Workspace {
    let workspace = Workspace::empty();
    sprat_models::encoder::tiny::write(&workspace.path("tiny"), 7).unwrap();
    configure(&workspace, config, "path:tiny", setting);
    let task = format!(
        "kind = \"classify\"\nlabels = [\"refund\", \"delivery\"]\nrungs = [\"linear\", \"encoder\"]\n{end}\n\
         [target]\nmax_error = 0.05\n"
    );
    workspace.write("tasks/tickets.toml", task);
    workspace.write("rows.jsonl", texts(ROWS).map(|(text, label)| row(&text, label)).collect::<String>());
    workspace
}

/// Writes `sprat.toml`.
pub fn configure(workspace: &Workspace, config: &str, source: &str, setting: &str) {
    let encoder = format!("[models.encoder]\nkind = \"encoder\"\nsource = \"{source}\"\n{setting}");
    workspace.write("sprat.toml", format!("{config}\n{encoder}"));
}

fn row(text: &str, label: &str) -> String {
    format!("{}\n", serde_json::json!({"text": text, "label": label}))
}

/// So many texts with their labels, the same on every machine.
pub fn texts(rows: usize) -> impl Iterator<Item = (String, &'static str)> {
    let mut draw = Draw(17);
    (0..rows).map(move |_| {
        let mut words: Vec<&str> = (0..5 + draw.below(5)).map(|_| draw.of(&LETTERS)).collect();
        let label = match draw.below(20) {
            0..9 => {
                let (word, label) = draw.of(&[("refund", "refund"), ("where", "delivery")]);
                words.insert(draw.below(words.len()), word);
                label
            }
            9..18 => {
                let there = [draw.below(2) == 0, draw.below(2) == 0];
                for (word, _) in ["card", "lost"].into_iter().zip(there).filter(|(_, there)| *there) {
                    words.insert(draw.below(words.len()), word);
                }
                if there[0] != there[1] { "refund" } else { "delivery" }
            }
            _ => {
                words.insert(draw.below(words.len()), "my");
                draw.of(&["refund", "delivery"])
            }
        };
        (words.join(" "), label)
    })
}

const LETTERS: [&str; 16] = ["b", "d", "f", "g", "h", "j", "k", "n", "p", "q", "t", "u", "v", "w", "x", "z"];

/// Knuth's MMIX generator; the upper bits are the random ones.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}
