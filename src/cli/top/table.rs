//! The table of instances, as the screen and pipes show it.

use super::sample::{Count, InstanceSample, MountSample, Sample};
use super::short;
use omnifs::config::units::Size;
use omnifs::control::BudgetStatus;
use omnifs::logs::printable;

/// Rows of cells, of which the first holds the names of columns. Nothing in it acts on a terminal.
pub struct Table {
    pub rows: Vec<Vec<String>>,
}

const COLUMNS: [&str; 11] = [
    "INSTANCE", "HITS/s", "HIT%", "CALLS/s", "REQS/s", "REQS", "FAIL/s", "RECV/s", "EVENTS/s",
    "FEED", "LAG",
];

impl Table {
    /// Of the instances that `wanted` holds for.
    pub fn of(sample: &Sample, wanted: impl Fn(&InstanceSample) -> bool) -> Table {
        let several = sample.mounts.len() > 1;
        let mut header: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
        header.push("BUDGET".to_owned());
        if several {
            header.insert(0, "MOUNT".to_owned());
        }
        let mut rows = vec![header];
        for mount in &sample.mounts {
            for instance in mount.instances.iter().filter(|instance| wanted(instance)) {
                let mut row = cells(instance);
                if several {
                    row.insert(0, short(&mount.mountpoint).to_owned());
                }
                rows.push(row.iter().map(|cell| printable(cell).into_owned()).collect());
            }
        }
        Table { rows }
    }

    /// In columns: what begins with a digit to the right.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                match cell.starts_with(|c: char| c.is_ascii_digit()) {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:width$}"),
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

fn cells(instance: &InstanceSample) -> Vec<String> {
    let uses = instance.hits.total + instance.misses.total;
    let part = (uses > 0).then(|| 100.0 * instance.hits.total as f64 / uses as f64);
    let received = instance.received.per_second.map(|bytes| Size(bytes as u64).to_string());
    vec![
        instance.name.clone(),
        rate(instance.hits),
        part.map_or("-".to_owned(), |part| format!("{part:.1}")),
        rate(instance.calls),
        rate(instance.requests),
        instance.requests.total.to_string(),
        rate(instance.failures),
        received.unwrap_or_else(|| "-".to_owned()),
        rate(instance.events),
        instance.feeds.word(),
        instance.feeds.lag.map_or("-".to_owned(), |lag| format!("{lag}ms")),
        budget(&instance.budgets),
    ]
}

fn rate(count: Count) -> String {
    count.per_second.map_or("-".to_owned(), |rate| format!("{rate:.1}"))
}

/// Of several the one of which least is left.
pub fn budget(budgets: &[BudgetStatus]) -> String {
    let part = |budget: &BudgetStatus| match (budget.remaining, budget.limit) {
        _ if budget.exhausted => 0.0,
        (Some(left), Some(limit)) if limit > 0 => left as f64 / limit as f64,
        _ => 1.0,
    };
    let scarce = budgets.iter().min_by(|a, b| part(a).total_cmp(&part(b)));
    scarce.map_or("-".to_owned(), |budget| {
        let number = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        let state = if budget.exhausted { " used up" } else { "" };
        format!("{} {}/{}{state}", budget.resource, number(budget.remaining), number(budget.limit))
    })
}

/// What a mount says beside its instances, in one line.
pub fn summary(mount: &MountSample) -> String {
    if let Some(problem) = &mount.problem {
        return printable(problem).into_owned();
    }
    let (cache, way) = (&mount.cache, &mount.under_way);
    let part = cache
        .hit_rate()
        .map_or("no use yet".to_owned(), |part| format!("hit rate {:.1} %", part * 100.0));
    let text = format!(
        "{}: {} of {} nodes, {} of {}, {part}; {} calls under way, {} open, {} deliveries",
        mount.mountpoint,
        cache.nodes,
        cache.nodes_capacity,
        Size(cache.bytes),
        Size(cache.bytes_capacity),
        way.fetches,
        way.open,
        way.deliveries,
    );
    printable(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_nothing_in_it_acts_on_the_terminal() {
        let instance = |name: &str, total| InstanceSample {
            name: name.to_owned(),
            requests: Count { total, per_second: Some(total as f64) },
            ..InstanceSample::default()
        };
        let mount = MountSample {
            mountpoint: "/mnt/o".into(),
            instances: vec![instance("hub", 3), instance("x\u{1b}[2J\n", 12345)],
            ..MountSample::default()
        };
        let sample = Sample { at: 0, mounts: vec![mount] };
        let lines = Table::of(&sample, |_| true).lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().all(|c| !c.is_control())), "{lines:?}");
        let end = |line: usize, cell: &str| {
            let (before, _) = lines[line].split_once(cell).expect(cell);
            before.chars().count() + cell.len()
        };
        let ends = [end(1, "3.0"), end(2, "12345.0")];
        assert_eq!(ends[0], ends[1], "{lines:#?}");
        assert_eq!(Table::of(&sample, |i| i.name == "hub").rows.len(), 2);
    }

    #[test]
    fn of_several_budgets_the_scarcest_is_shown() {
        let budget_of = |resource: &str, remaining| BudgetStatus {
            provider: "hub".into(),
            credential: "c".into(),
            resource: resource.into(),
            limit: Some(100),
            remaining: Some(remaining),
            resets: None,
            exhausted: remaining == 0,
            resumes: None,
        };
        assert_eq!(budget(&[]), "-");
        assert_eq!(budget(&[budget_of("a", 90), budget_of("b", 10)]), "b 10/100");
        assert_eq!(budget(&[budget_of("a", 0), budget_of("b", 10)]), "a 0/100 used up");
    }
}
