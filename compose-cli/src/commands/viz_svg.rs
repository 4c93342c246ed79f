//! `alpha viz --format svg`: a picture of the graph, drawn without another program. A service
//! stands one row below the lowest of those that depend on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use compose_model::Project;

use super::viz::markup;

/// Measures, in pixels.
const HEIGHT: usize = 36;
const ROW: usize = 96;
const GAP: usize = 28;
/// Width of a letter of the font.
const LETTER: usize = 9;

/// The picture.
pub(super) fn picture(project: &Project) -> String {
    let rows = rows(project);
    let width_of = |name: &str| name.chars().count() * LETTER + 32;
    let row_width = |row: &[&str]| row.iter().map(|name| width_of(name) + GAP).sum::<usize>();
    let width = rows.iter().map(|row| row_width(row)).max().unwrap_or_default() + GAP;
    let height = rows.len() * ROW + GAP;
    let mut boxes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut shapes = String::new();
    for (index, row) in rows.iter().enumerate() {
        let (mut left, top) = ((width + GAP - row_width(row)) / 2, GAP + index * ROW);
        for name in row {
            let own = width_of(name);
            let middle = left + own / 2;
            let _ = writeln!(
                shapes,
                "  <rect x=\"{left}\" y=\"{top}\" width=\"{own}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"#e8eef7\" \
                 stroke=\"#3b5b8c\"/>\n  <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                top + 23,
                markup(name)
            );
            boxes.insert(name, (middle, top));
            left += own + GAP;
        }
    }
    let mut lines = String::new();
    for (name, service) in &project.services {
        for dependency in service.depends_on.keys() {
            let Some(((x1, y1), (x2, y2))) = boxes.get(name.as_str()).zip(boxes.get(dependency.as_str())) else {
                continue;
            };
            let _ = writeln!(
                lines,
                "  <line x1=\"{x1}\" y1=\"{}\" x2=\"{x2}\" y2=\"{}\" stroke=\"#555\" marker-end=\"url(#arrow)\"/>",
                y1 + HEIGHT,
                y2.saturating_sub(2)
            );
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" font-family=\"monospace\" font-size=\"15\">\n  <title>{}</title>\n  <defs><marker id=\"arrow\" \
         viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M 0 0 \
         L 10 5 L 0 10 z\" fill=\"#555\"/></marker></defs>\n{lines}{shapes}</svg>\n",
        markup(project.name.as_str())
    )
}

/// Services by rows, those that nothing depends on first.
fn rows(project: &Project) -> Vec<Vec<&str>> {
    let mut depth: BTreeMap<&str, usize> = project.services.keys().map(|name| (name.as_str(), 0)).collect();
    // No path is longer than there are services, and the model has no cycles.
    for _ in 0..project.services.len() {
        let mut changed = false;
        for (name, service) in &project.services {
            let below = depth.get(name.as_str()).copied().unwrap_or_default() + 1;
            for dependency in service.depends_on.keys() {
                if let Some(own) = depth.get_mut(dependency.as_str()).filter(|own| **own < below) {
                    *own = below;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let mut rows: Vec<Vec<&str>> = Vec::new();
    for (name, depth) in depth {
        if rows.len() <= depth {
            rows.resize(depth + 1, Vec::new());
        }
        rows.get_mut(depth).into_iter().for_each(|row| row.push(name));
    }
    rows
}
