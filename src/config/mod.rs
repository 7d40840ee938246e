//! What the operator asked for, checked as a whole before anything is touched.
