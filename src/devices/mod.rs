//! Links to devices.
