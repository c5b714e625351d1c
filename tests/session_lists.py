"""Sessions from lists."""

from hln_tf.data.sessions import Sessions

to_sessions = Sessions.from_lists
