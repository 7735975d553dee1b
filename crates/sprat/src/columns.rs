//! The flags that name columns of a file of rows, the same for every command that reads one.

use sprat_learn::rows::ReadOptions;
use sprat_learn::rows::columns::Columns;
use sprat_task::Provenance;

/// Which column holds what, where the usual names don't fit.
#[derive(clap::Args)]
#[command(next_help_heading = "Columns, where the usual names don't fit")]
pub struct ColumnNames {
    /// The column that holds the text [usual: text, input]
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// The column that holds the label [usual: label, labels, gold]
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// The column that holds the large model's answer [usual: large]
    #[arg(long, value_name = "NAME")]
    large_column: Option<String>,
    /// The column of the conversation or user [usual: session, conversation_id, user]
    #[arg(long, value_name = "NAME")]
    session_column: Option<String>,
    /// The column of the time [usual: time, timestamp]
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
}

impl ColumnNames {
    /// How rows with these columns are read. Answers of a large model that don't say where they come from are recorded
    /// ones: nobody asked for them now.
    pub fn options(&self) -> ReadOptions {
        let columns = Columns {
            text: self.text_column.clone(),
            label: self.label_column.clone(),
            large: self.large_column.clone(),
            session: self.session_column.clone(),
            time: self.time_column.clone(),
        };
        ReadOptions { columns, large_provenance: Provenance::Recorded, ..ReadOptions::default() }
    }
}
