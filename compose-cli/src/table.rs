//! Tables as the Docker CLI prints them: columns as wide as their widest cell, three blanks between.

use unicode_width::UnicodeWidthStr;

/// Lays out rows below titles. Cells of the last column are not padded.
pub(crate) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let mut all: Vec<Vec<&str>> = Vec::with_capacity(rows.len() + 1);
    if !titles.is_empty() {
        all.push(titles.to_vec());
    }
    all.extend(rows.iter().map(|row| row.iter().map(String::as_str).collect()));
    lay_out(&all, Columns::WIDE)
}

/// The same with other columns.
pub(crate) fn table_of(columns: Columns, titles: &[&str], rows: &[Vec<String>]) -> String {
    let mut all = vec![titles.to_vec()];
    all.extend(rows.iter().map(|row| row.iter().map(String::as_str).collect()));
    lay_out(&all, columns)
}

/// How columns are spaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// Narrowest column, blanks included.
    narrowest: usize,
    /// Blanks between two columns.
    gap: usize,
}

impl Columns {
    /// What the Docker CLI's templates give.
    pub(crate) const WIDE: Self = Self { narrowest: 10, gap: 3 };
    /// `ls` and `images`.
    pub(crate) const WIDEST: Self = Self { narrowest: 20, gap: 3 };
    /// `top`.
    pub(crate) const NARROW: Self = Self { narrowest: 4, gap: 2 };
}

/// Lays out text whose cells are separated by tabs (`--format 'table {{.Name}}\t{{.Status}}'`).
pub(crate) fn tabbed(text: &str) -> String {
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    lay_out(&rows, Columns::WIDE)
}

fn lay_out(rows: &[Vec<&str>], spacing: Columns) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut out = String::new();
    for row in rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            out.push_str(cell);
            if index + 1 < row.len() {
                for _ in cell.width()..(width + spacing.gap).max(spacing.narrowest) {
                    out.push(' ');
                }
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["shop-web-1".to_owned(), "가".to_owned(), "x".to_owned()],
            vec!["a".to_owned(), "b".to_owned(), String::new()],
        ];
        let shown = table(&["NAME", "IMAGE", "PORTS"], &rows);
        assert_eq!(shown, "NAME         IMAGE     PORTS\nshop-web-1   가        x\na            b         \n");
    }
}
