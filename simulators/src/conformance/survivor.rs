//! A till whose box dies in the middle of a sale: what it asked is done once, whenever the box comes back.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};

use super::suite::{SALE_FEN, Till, sale};
use super::{Cut, Heard, Options, Verb, wire, wire_over};

/// A till that asks, hears nothing, and asks again later.
pub struct Survivor {
    till: Till,
}

impl Survivor {
    /// At the end of a line that `options` names.
    pub fn new(options: &Options, base: &str, terminal: &str, token: &str) -> Result<Self> {
        Ok(Self { till: Till::begin(wire(options, base, terminal, token)?, options)? })
    }

    /// At the till's end of a pseudo-terminal.
    pub fn over(options: &Options, line: OwnedFd) -> Result<Self> {
        Ok(Self { till: Till::begin(wire_over(options, line)?, options)? })
    }

    /// The box came back elsewhere; only HTTP cares.
    pub fn find(&mut self, base: &str) -> Result<()> {
        self.till.find(base)
    }

    /// Asks for a sale and hears nothing.
    pub fn ask(&mut self) -> Result<()> {
        let heard = self.till.write(Verb::Commit, &sale(SALE_FEN), Cut::Deaf)?;
        ensure!(heard == Heard::Nothing, "the till was to hear nothing: {heard:?}");
        Ok(())
    }

    /// The sale was done: it is found, and a repeat hears the same and does nothing.
    pub fn check(&mut self) -> Result<()> {
        let number = self.till.number();
        let found = self.till.outcome(number)?.context("what was committed is not found")?;
        let again = self.till.write_as(number, Verb::Commit, &sale(SALE_FEN), Cut::Never)?;
        ensure!(again == Heard::Done(found.clone(), true), "a repeat hears {again:?}, and {found} was done");
        Ok(())
    }
}
