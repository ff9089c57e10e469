//! A till whose box dies in the middle of a request: what it asked is done once, whenever the box comes back.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::steps::DAY;
use super::till::Till;
use super::{Cut, Heard, Options, wire, wire_over};

/// A till that asks, hears nothing, and asks again later.
pub struct Survivor {
    till: Till,
    /// What it asks, and of which step of its day.
    asked: (usize, Value),
    /// The member's phone that was shown last.
    code: Option<String>,
}

impl Survivor {
    /// How many requests of a till's day change something.
    pub const STEPS: usize = DAY.len();

    /// At the end of a line that `options` names.
    pub fn new(options: &Options, base: &str, terminal: &str, token: &str) -> Result<Self> {
        Ok(Self {
            till: Till::begin(wire(options, base, terminal, token)?, options)?,
            asked: (0, Value::Null),
            code: None,
        })
    }

    /// At the till's end of a pseudo-terminal.
    pub fn over(options: &Options, line: OwnedFd) -> Result<Self> {
        Ok(Self { till: Till::begin(wire_over(options, line)?, options)?, asked: (0, Value::Null), code: None })
    }

    /// The box came back, over HTTP at another address. It has forgotten by which names its tills know members.
    pub fn find(&mut self, base: &str) -> Result<()> {
        self.till.find(base)?;
        match &self.code {
            Some(code) => self.till.show_again(code),
            None => Ok(()),
        }
    }

    /// A step of the day by its name, as the documents write it.
    pub fn name(step: usize) -> &'static str {
        DAY[step].verb.name()
    }

    /// A member's phone is shown to it, for one payment.
    pub fn show(&mut self, code: &str) -> Result<()> {
        self.code = Some(code.to_owned());
        self.till.show(code)
    }

    /// Whether it has what it needs for a step; it then asks for that next.
    pub fn ready(&mut self, step: usize) -> Result<bool> {
        let Some(fields) = (DAY[step].ready)(&mut self.till)? else { return Ok(false) };
        self.asked = (step, fields);
        Ok(true)
    }

    /// Asks and hears nothing.
    pub fn ask(&mut self) -> Result<()> {
        let (step, fields) = &self.asked;
        let heard = self.till.write(DAY[*step].verb, fields, Cut::Deaf)?;
        ensure!(heard == Heard::Nothing, "the till was to hear nothing: {heard:?}");
        Ok(())
    }

    /// It was done: it is found, a repeat hears the same and does nothing, and the books say that it was once.
    pub fn check(&mut self) -> Result<()> {
        let (step, fields) = &self.asked;
        let number = self.till.number();
        let found = self.till.outcome(number)?.context("what was committed is not found")?;
        let again = self.till.write_as(number, DAY[*step].verb, fields, Cut::Never)?;
        ensure!(again == Heard::Done(found.clone(), true), "a repeat hears {again:?}, and {found} was done");
        (DAY[*step].seen)(&mut self.till, fields, &found)
    }
}
