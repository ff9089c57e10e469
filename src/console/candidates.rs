//! Candidates: which vehicles inside have nearly the plate that the camera read.

use crate::domain::plate::Plate;

/// How far a candidate may be: two misread characters, or four that look alike.
const FARTHEST: u32 = 4;
/// How many a guard can choose from at a glance.
const MOST_SHOWN: usize = 6;

/// The plates inside that are nearly `read`, the likeliest first. The plate itself is not among them.
pub fn near(read: &str, inside: &[Plate]) -> Vec<Plate> {
    let read: Vec<char> = read.chars().collect();
    let mut found: Vec<(u32, &Plate)> = inside
        .iter()
        .map(|plate| (distance(&read, &plate.as_str().chars().collect::<Vec<_>>()), plate))
        .filter(|(distance, _)| (1..=FARTHEST).contains(distance))
        .collect();
    found.sort();
    found.into_iter().take(MOST_SHOWN).map(|(_, plate)| plate.clone()).collect()
}

/// The least cost of making one plate from the other: 2 for a character that is added, lost or replaced, 1 where it
/// is replaced by one that looks like it.
fn distance(a: &[char], b: &[char]) -> u32 {
    let mut above: Vec<u32> = (0..=b.len() as u32).map(|n| 2 * n).collect();
    for (row, from) in a.iter().enumerate() {
        let mut line = vec![2 * (row as u32 + 1)];
        for (column, to) in b.iter().enumerate() {
            let replaced = above[column] + replacement(*from, *to);
            line.push(replaced.min(above[column + 1] + 2).min(line[column] + 2));
        }
        above = line;
    }
    above[b.len()]
}

fn replacement(a: char, b: char) -> u32 {
    match (look(a), look(b)) {
        _ if a == b => 0,
        (one, other) if one == other => 1,
        _ => 2,
    }
}

/// The character that stands for all that look like it.
fn look(c: char) -> char {
    match c {
        'O' | 'D' | 'Q' => '0',
        'I' | 'L' => '1',
        'Z' => '2',
        'S' => '5',
        'G' => '6',
        'B' => '8',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_comes_first() {
        let inside = plates(&["粤B12345", "粤B72346", "粤B1234S", "京C99999", "粤B12346", "粤B1246"]);
        check("粤B1234B", &inside, &["粤B12345", "粤B12346", "粤B1234S", "粤B1246", "粤B72346"]);
        check("粤B12345", &inside, &["粤B1234S", "粤B12346", "粤B1246", "粤B72346"]);
        check("沪A00000", &inside, &[]);
    }

    fn plates(texts: &[&str]) -> Vec<Plate> {
        texts.iter().map(|text| text.parse().expect("a plate")).collect()
    }

    fn check(read: &str, inside: &[Plate], expect: &[&str]) {
        let found = near(read, inside);
        assert_eq!(found.iter().map(Plate::as_str).collect::<Vec<_>>(), expect, "{read}");
    }
}
