//! Prints the table of the proof: what was checked at which size, and what each broken variant violates. With words
//! behind it, only the lines that have one of them in their name; with `--all`, the longest line, too.

use grants_model::table::{self, Found, Row};

#[allow(clippy::print_stdout, reason = "the table is the answer of the command")]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--all").collect();
    let with_long = std::env::args().any(|argument| argument == "--all");
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    println!("| variant | boxes | balances | grants | journal | faults | states | generated | seconds |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in table::rows().into_iter().filter(|row| (with_long || !row.is_long) && is_wanted(row.name)) {
        println!("{}", line(&row, &table::exhaust(row.protocol.clone())));
    }
    println!("\n| broken variant | violates | steps of the shortest |");
    println!("|---|---|---|");
    for mutant in table::mutants().into_iter().filter(|mutant| is_wanted(mutant.name)) {
        let found = table::shortest(&mutant.protocol, mutant.violates);
        let steps = found.as_ref().map_or("never".to_owned(), |steps| steps.len().to_string());
        println!("| {} | {} | {steps} |", mutant.name, mutant.violates.join(" or "));
        for step in found.into_iter().flatten() {
            println!("    {step}");
        }
    }
}

fn line(row: &Row, found: &Found) -> String {
    let bounds = &row.protocol.bounds;
    let balances: Vec<String> = bounds.balances.iter().map(ToString::to_string).collect();
    let broken: Vec<&str> = found.discoveries.iter().copied().filter(|name| !table::REACHED.contains(name)).collect();
    let verdict = if broken.is_empty() { String::new() } else { format!(" VIOLATED: {}", broken.join(", ")) };
    format!(
        "| {}{verdict} | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
        row.name,
        bounds.boxes,
        balances.join(" and "),
        bounds.grants,
        bounds.journal,
        bounds.faults,
        found.states,
        found.generated,
        found.time.as_secs_f64()
    )
}
