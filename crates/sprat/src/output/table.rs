//! A table that fits the terminal: names of columns, then rows; numbers to the right.

use comfy_table::{CellAlignment, ContentArrangement, presets};

use super::words;

/// A table with named columns.
pub struct Table {
    inner: comfy_table::Table,
}

impl Table {
    /// A table with these columns; a name that begins with `>` stands to the right, as numbers do.
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING);
        inner.set_header(columns.map(|name| name.trim_start_matches('>')));
        for (at, name) in columns.iter().enumerate() {
            if let Some(column) = inner.column_mut(at) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { inner }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.inner.add_row(cells.map(|cell| words::plain(&cell)));
    }

    /// The table as text, folded to `width` columns where there is a terminal.
    pub fn draw(&self, width: Option<usize>) -> String {
        let mut table = self.inner.clone();
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["model", ">rows"]);
        table.row(["linear".into(), "12,000".into()]);
        table.row(["a model with a long name".into(), "7".into()]);
        table
    }

    #[test]
    fn numbers_stand_to_the_right_and_no_line_ends_in_spaces() {
        let drawn = table().draw(None);
        assert_eq!(
            drawn,
            "model                       rows\nlinear                    12,000\n\
             a model with a long name       7\n"
        );
    }

    #[test]
    fn a_narrow_terminal_folds_cells_rather_than_running_over() {
        let drawn = table().draw(Some(24));
        assert!(drawn.lines().all(|line| line.len() <= 24), "{drawn}");
    }
}
