//! What to do next, in one sentence.

use sprat_task::certificate::count;
use sprat_task::{Certificate, Risk, Status, Task};

/// The next step after a look.
pub fn next_step(task: &Task, certificate: &Certificate) -> String {
    let name = &task.name;
    match certificate.status {
        Status::Certified => format!(
            "sprat run {name} INPUT -o OUTPUT answers a file; sprat ask {name} \"…\" answers one text"
        ),
        Status::Underpowered => match certificate.more_labels {
            Some(more) => format!(
                "label about {} more rows (sprat review {name} ROWS picks the most useful), then sprat certify {name} NEWROWS",
                count(more)
            ),
            None if task.target.risk == Risk::Selective => format!(
                "more labels alone won't do it: raise max_error in tasks/{name}.toml, look at the confusions in the report, or add a stronger rung"
            ),
            None => format!(
                "raise max_error in tasks/{name}.toml, or label more rows and run sprat learn {name} again"
            ),
        },
        Status::Infeasible => format!(
            "look at the confusions in the report: merge labels that people mix up too, label more rows, or raise max_error in tasks/{name}.toml"
        ),
        Status::Uneconomic => format!(
            "keep the large model for {name}, or lower [audit] rate: what audits and mistakes cost is more than the small answers save"
        ),
        Status::Stale | Status::Alarmed | Status::None => format!("sprat certify {name} ROWS"),
    }
}
