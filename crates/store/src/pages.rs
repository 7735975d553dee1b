//! Many rows in constant memory: some hundred at a time, each page in a read of its own, so that a long walk neither
//! fills memory nor keeps SQLite from shortening its log.

use rusqlite::Connection;

use crate::error::{Fault, StoreError};
use crate::store::Store;

/// Rows of a page.
const PAGE: usize = 500;

/// Walks over rows in the order of a number each has. `fetch` is given the number to begin after and how many rows to
/// give, and returns each row with its number. The walk ends after the first error.
pub(crate) fn pages<T>(
    store: Store,
    after: i64,
    fetch: impl Fn(&Connection, i64, usize) -> Result<Vec<(i64, T)>, Fault>,
) -> impl Iterator<Item = Result<T, StoreError>> {
    let mut after = after;
    let mut more = true;
    let mut page = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if page.len() == 0 && more {
            match store.read(|connection| fetch(connection, after, PAGE)) {
                Ok(rows) => {
                    more = rows.len() == PAGE;
                    page = rows.into_iter();
                }
                Err(error) => {
                    more = false;
                    return Some(Err(error));
                }
            }
        }
        let (number, row) = page.next()?;
        after = number;
        Some(Ok(row))
    })
}
