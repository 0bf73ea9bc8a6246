//! The run of bp: phases, steps, the engine. Never prints.
