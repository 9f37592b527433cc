//! The reference client of LFP.
