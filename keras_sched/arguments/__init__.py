"""Arguments by name: one that a callable does not have is answered with the one that was meant."""

from keras_sched.arguments.checks import (
    call_checked,
    check_cache_dir,
    check_call,
    check_callbacks,
    check_choice,
    check_count,
    check_names,
    check_of_position,
    check_rate,
    check_share,
    check_takes,
    check_window,
    names_checked,
    taking_variables,
)
from keras_sched.arguments.names import did_you_mean, how_to_look_ahead, schedule_meant, what_it_is
