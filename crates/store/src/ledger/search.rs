//! Single records by task and ending, a page at a time.

use rusqlite::{Connection, OptionalExtension, named_params};
use sprat_task::TaskName;

use super::entry::{Ending, LedgerEntry, Source, Spend};
use super::{Ledger, read_entry};
use crate::columns::signed;
use crate::error::{Fault, StoreError};

/// Records that one search looks through. What is rare is then not found rather than searched for through millions;
/// the page says where it stopped, and the next one goes on from there.
const LOOKED_THROUGH: i64 = 50_000;

/// Which records to find. The default finds all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// One task only.
    pub task: Option<TaskName>,
    /// One ending only.
    pub ending: Option<Ending>,
    /// One kind of spending only.
    pub spend: Option<Spend>,
    /// Only what came before the record of this number: [`Found::older`] of the page before.
    pub before: Option<i64>,
}

/// A page of records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Newest first.
    pub entries: Vec<LedgerEntry>,
    /// Where the next page begins; `None` where there is nothing older to look at.
    pub older: Option<i64>,
}

impl Ledger<'_> {
    /// The newest `n` records that fit, among the task's last 50,000 before where the search begins.
    pub fn search(&self, search: &Search, n: usize) -> Result<Found, StoreError> {
        self.up_to_date();
        self.store.read(|connection| find(connection, search, n))
    }
}

fn find(connection: &Connection, search: &Search, n: usize) -> Result<Found, Fault> {
    let task = search.task.as_ref().map(TaskName::as_str);
    let of_task = if task.is_some() { "task = :task" } else { ":task IS NULL" };
    let before = search.before.unwrap_or(i64::MAX);
    // Where the look through them ends; `None` where it reaches the oldest.
    let sql = format!(
        "SELECT id FROM ledger WHERE {of_task} AND id < :before ORDER BY id DESC LIMIT 1 OFFSET {LOOKED_THROUGH}"
    );
    let stop: Option<i64> = connection
        .prepare_cached(&sql)?
        .query_row(named_params! { ":task": task, ":before": before }, |row| row.get(0))
        .optional()?;
    let sql = format!(
        "SELECT * FROM ledger WHERE {of_task} AND id < :before AND id > :stop AND source IN ({})
         AND (:ending IS NULL OR ending = :ending) ORDER BY id DESC LIMIT :n",
        Source::words(search.spend)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(named_params! {
        ":task": task,
        ":before": before,
        ":stop": stop.unwrap_or(i64::MIN),
        ":ending": search.ending.map(Ending::word),
        ":n": signed(n as u64 + 1),
    })?;
    let mut found = Found { entries: Vec::new(), older: stop.map(|stop| stop + 1) };
    let mut last = before;
    while let Some(row) = rows.next()? {
        if found.entries.len() == n {
            found.older = Some(last);
            break;
        }
        last = row.get("id")?;
        found.entries.push(read_entry(row)?);
    }
    Ok(found)
}
