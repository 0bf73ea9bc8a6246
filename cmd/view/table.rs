//! Tables as text: plain columns, on a terminal with colours and no wider than it.

/// Between two columns.
const GAP: &str = "  ";

/// A table under its title. What does not fit into `width` follows below, a column that does not fit
/// alone is cut; colours say which counts are whole.
pub fn text(
    title: &str,
    head: &[String],
    rows: &[Vec<String>],
    width: Option<usize>,
    coloured: bool,
) -> String {
    let clean = |row: &[String]| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> =
        std::iter::once(clean(head)).chain(rows.iter().map(|row| clean(row))).collect();
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let mut all = format!("\n{}", painted(&one_line(title), Some("1"), coloured));
    for columns in parts(&widths, width) {
        for (number, line) in lines.iter().enumerate() {
            let cells = columns.iter().filter_map(|at| Some((line.get(*at)?, widths[*at])));
            let cells = cells.map(|(cell, width)| {
                let colour = if number == 0 { Some("2") } else { colour(cell) };
                (format!("{GAP}{cell:width$}"), colour)
            });
            all.push('\n');
            all.push_str(&row(cells.collect(), width, coloured));
        }
    }
    all
}

/// The columns that fit beside each other; the first one, which says what a row is about, begins
/// each part.
fn parts(widths: &[usize], width: Option<usize>) -> Vec<Vec<usize>> {
    let room = width.unwrap_or(usize::MAX);
    let taken = |columns: &[usize]| columns.iter().map(|at| GAP.len() + widths[*at]).sum::<usize>();
    let mut parts = vec![vec![0]];
    for (at, wide) in widths.iter().enumerate().skip(1) {
        match parts.last_mut() {
            Some(last) if last.len() == 1 || taken(last) + GAP.len() + wide <= room => {
                last.push(at);
            }
            _ => parts.push(vec![0, at]),
        }
    }
    parts
}

/// A row of padded cells, cut where the terminal ends.
fn row(cells: Vec<(String, Option<&str>)>, width: Option<usize>, coloured: bool) -> String {
    let plain: String = cells.iter().map(|(cell, _)| cell.as_str()).collect();
    let long = plain.trim_end().chars().count();
    let cut = width.filter(|width| long > *width);
    let mut room = cut.map_or(long, |width| width.saturating_sub(1));
    let mut all = String::new();
    for (cell, colour) in cells {
        let part: String = cell.chars().take(room).collect();
        room -= part.chars().count();
        all.push_str(&painted(&part, colour, coloured));
    }
    if cut.is_some() { all + "…" } else { all }
}

/// A count such as `2/3`: green where it is whole, red where it is not.
fn colour(cell: &str) -> Option<&'static str> {
    let (is, all) = cell.split_once('/')?;
    let (is, all): (u64, u64) = (is.parse().ok()?, all.parse().ok()?);
    Some(if is == all { "32" } else { "31" })
}

fn painted(text: &str, colour: Option<&str>, coloured: bool) -> String {
    match colour {
        Some(colour) if coloured && !text.is_empty() => format!("\x1b[{colour}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

/// A cell without what would break its line, or change a terminal: hosts may print anything.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::text;

    fn table(width: Option<usize>, coloured: bool) -> String {
        let head = ["host", "base", "says"].map(str::to_owned);
        let rows = [["node1", "3/3", "ü\x1b[31m\nred"], ["a", "2/3", ""]];
        text("hosts", &head, &rows.map(|r| r.map(str::to_owned).to_vec()), width, coloured)
    }

    #[test]
    fn columns_are_aligned_and_hosts_change_no_terminal() {
        let plain = "\nhosts\n  host   base  says\n  node1  3/3   ü [31m red\n  a      2/3";
        assert_eq!(table(None, false), plain);
    }

    #[test]
    fn what_is_wider_than_the_terminal_follows_below_or_is_cut() {
        let part = "\nhosts\n  host   base\n  node1  3/3\n  a      2/3";
        let below = "\n  host   says\n  node1  ü [31m red\n  a";
        assert_eq!(table(Some(20), false), format!("{part}{below}"));
        let cut = "\n  host   says\n  node1  ü [31m…\n  a";
        assert_eq!(table(Some(16), false), format!("{part}{cut}"));
        assert_eq!(table(Some(80), false), table(None, false));
        for width in 0..30 {
            let widest = table(Some(width), false);
            let widest = widest.lines().skip(2).map(|l| l.chars().count()).max();
            assert!(widest <= Some(width.max(1)), "{width}: {widest:?}");
        }
    }

    #[test]
    fn counts_that_are_not_whole_are_red() {
        let coloured = table(None, true);
        assert!(coloured.contains("\x1b[32m  3/3 \x1b[0m"), "{coloured:?}");
        assert!(coloured.contains("\x1b[31m  2/3\x1b[0m"), "{coloured:?}");
        assert!(!coloured.contains("ü\x1b"), "{coloured:?}");
    }
}
