//! The model's table in every test run, and the real box and ledger held to the model.

mod table;
mod walk;
