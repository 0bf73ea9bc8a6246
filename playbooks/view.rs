//! The cluster as `status` shows it besides the steps: tables that phases fill.

use crate::cx::Cx;
use crate::{dns, firewall, gluster};
use serde::Serialize;

/// A table of what is, as it was asked now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What it shows: `volumes`.
    pub title: String,
    /// The names of its columns.
    pub head: Vec<&'static str>,
    /// Its rows, a text for each column.
    pub rows: Vec<Vec<String>>,
}

/// The tables of all phases, in their order. Asks, changes nothing.
pub async fn tables(cx: &Cx) -> Vec<Table> {
    let mut tables = dns::shown(cx).await;
    tables.extend(firewall::shown(cx).await);
    tables.extend(gluster::shown(cx).await);
    tables
}
