"""A client for a served model, the same for the embedded server and for TensorFlow Serving."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hln_tf import Explanation, Recommendations
from hln_tf.analysis import used_positions
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.common.text import is_utf_8
from hln_tf.retrieval import as_sessions, scored_items
from serving.security import read_certificates, read_token
from serving.settings import GRPC_CLIENT_PACKAGES, REST_CLIENT_PACKAGES
from serving.tensors import NUMPY_TYPES, Tensors
from serving.transport import Access, ServerError, SignatureTypes, Target, Transport


class Client:
    """A client of a served model, over REST or gRPC.

    `recommend`, `explain` and `embed` take and return what those of
    `hln_tf.Recommender` do.

    Args:
      url: `http://HOST:PORT/v1/models/NAME` or `grpc://HOST:PORT/NAME`, followed
        by `/versions/N` or `/labels/LABEL` for a certain version; `https` or
        `grpcs` for TLS.
      timeout: Seconds for a request.
      separator: The model's separator, by which a request joins a session's item
        ids: the `separator` of its data set.
      token_file: File of the bearer token that the server wants, if any.
      ca_file: Certificates in PEM of the authorities that vouch for a server with
        TLS; those of the system without one.

    Raises:
      UsageError: The URL has neither of the two forms, or the separator is empty.
      HlnError: A package of the extra `serving` is not installed, or a file cannot
        be used.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        separator: str = " ",
        token_file: str = "",
        ca_file: str = "",
    ) -> None:
        if not separator:
            raise UsageError("`separator` is '', expected the model's separator, such as ' '")
        self.separator = separator
        self._target = Target.parse(url)
        self._signatures: dict[str, SignatureTypes] | None = None
        access = Access(read_token("token_file", token_file).decode(), read_certificates(ca_file))
        self._transport = _connect(self._target, timeout, access)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def recommend(
        self, sessions: Any, k: int = 20, exclude_seen: bool = False
    ) -> list[Recommendations]:
        """Recommend items for sessions.

        Args:
          sessions: Item ids of each session, oldest first, as lists, arrays or
            Series; a session may also be one string.
          k: Number of items for each, at least 1.
          exclude_seen: Whether to exclude a session's own items.

        Returns:
          The recommendations of each session.

        Raises:
          UsageError: `sessions` cannot be used, or the model does not allow `k`.
          ServerError: The server cannot be reached or refuses the request; the
            model has no signature `sessions_k`.
        """
        texts = self._texts(sessions)
        if not texts:
            return []
        rows = len(texts)
        inputs = {"sessions": texts, "k": [k] * rows, "exclude_seen": [exclude_seen] * rows}
        try:
            outputs = self.predict("sessions_k", inputs)
        except ServerError as error:
            if "k is out of bounds" not in str(error):
                raise
            raise UsageError(
                f"`k` is {k}, which the model at {self._target} does not allow: expected at least "
                "1 and at most the k_max of its export (python -m serving.export --k_max)"
            ) from None
        pairs = zip(outputs["item_ids"], outputs["scores"], strict=True)
        items = [scored_items(ids.tolist(), scores.tolist()) for ids, scores in pairs]
        flags = outputs["is_fallback"].tolist()
        return [Recommendations(*both) for both in zip(items, flags, strict=True)]

    def explain(self, sessions: Any, k: int = 20) -> list[Explanation]:
        """Explain sessions by the retention of their clicks in each preference group.

        Args:
          sessions: Item ids of each session, as for `recommend`.
          k: Number of items for each group; at most as many as the export returns.

        Returns:
          One explanation for each session.

        Raises:
          UsageError: `k` or `sessions` cannot be used.
          ServerError: The server cannot be reached or refuses the request; the
            model has no signature `explain`.
        """
        if k < 1:
            raise UsageError(f"`k` is {k}, expected at least 1")
        rows = as_sessions(sessions, self.separator)
        if not rows:
            return []
        outputs = self.predict("explain", {"sessions": self._texts(rows)})
        return list(_explanations(rows, outputs, k))

    def embed(self, sessions: Any) -> np.ndarray:
        """Compute the query embeddings of sessions, for a search in an index of your own.

        Args:
          sessions: Item ids of each session, as for `recommend`.

        Returns:
          float32 [sessions, d].

        Raises:
          UsageError: `sessions` cannot be used.
          ServerError: The server cannot be reached or refuses the request; the
            model has no signature `embed`.
        """
        texts = self._texts(sessions)
        if not texts:
            # No request can say how many dimensions a model has; one row of none can.
            return self.predict("embed", {"sessions": [""]})["query"][:0]
        return self.predict("embed", {"sessions": texts})["query"]

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> Tensors:
        """Run any signature.

        Args:
          signature: Name of the signature.
          inputs: Values by name; whatever `np.array` accepts.

        Returns:
          Arrays by name. Strings are object arrays of str, or of bytes where the
          name ends in `_bytes`.

        Raises:
          ServerError: The server cannot be reached or refuses the request; the
            model has no such signature, or it has other inputs.
        """
        types = self.signatures().get(signature)
        if types is None:
            raise ServerError(
                f"the model at {self._target} has no signature {signature!r}; it has: "
                f"{', '.join(sorted(self.signatures()))}",
                "NOT_FOUND",
            )
        if inputs.keys() != types.inputs.keys():
            raise ServerError(
                f"the signature {signature!r} at {self._target} takes "
                f"{', '.join(sorted(types.inputs))}, not {', '.join(sorted(inputs))}",
                "INVALID_ARGUMENT",
            )
        arrays = {name: _array(name, value, types.inputs[name]) for name, value in inputs.items()}
        return self._transport.predict(signature, arrays, types)

    def signatures(self) -> dict[str, SignatureTypes]:
        """Return the model's signatures by name, requested once.

        Raises:
          ServerError: The server cannot be reached or does not serve the model.
        """
        if self._signatures is None:
            self._signatures = self._transport.signatures()
        return self._signatures

    def status(self) -> list[dict[str, str]]:
        """Return number, state and error of each version of the model.

        Raises:
          ServerError: The server cannot be reached or does not serve the model.
        """
        return self._transport.status()

    def _texts(self, sessions: Any) -> list[str]:
        """Sessions as strings, their item ids joined by the separator."""
        rows = as_sessions(sessions, self.separator)
        for item in (item for row in rows for item in row):
            if not is_utf_8(item):
                raise UsageError(f"the item id {item!r} is no text, expected UTF-8")
            if self.separator in item:
                raise UsageError(
                    f"the item id {item!r} contains the separator {self.separator!r}, which "
                    f"joins item ids: pass the `separator` of the model's data set"
                )
        return [self.separator.join(row) for row in rows]


def _connect(target: Target, timeout: float, access: Access) -> Transport:
    """Create the transport of a URL's scheme; REST needs no TensorFlow."""
    if target.scheme in ("grpc", "grpcs"):
        cli.require_extra("serving", GRPC_CLIENT_PACKAGES)
        cli.import_tensorflow(reuses_memory=False)  # the process may be the user's
        from serving.grpc_transport import GrpcTransport

        return GrpcTransport(target, timeout, access)
    cli.require_extra("serving", REST_CLIENT_PACKAGES)
    from serving.rest_transport import RestTransport

    return RestTransport(target, timeout, access)


def _array(name: str, value: Any, kind: str) -> np.ndarray:
    try:
        array = np.array(value, NUMPY_TYPES[kind])
        is_exact = array.dtype.kind not in "iu" or bool(np.all(array == np.array(value)))
        is_text = array.dtype != object or all(
            isinstance(each, str) and is_utf_8(each) for each in array.flat
        )
        if not (is_exact and is_text):
            raise ValueError
        return array
    except (KeyError, OverflowError, TypeError, ValueError):
        raise ServerError(
            f"the input {name!r} does not fit the type {kind} that the model takes",
            "INVALID_ARGUMENT",
        ) from None


def _explanations(
    sessions: Sequence[Sequence[str]], outputs: Tensors, k: int
) -> Iterator[Explanation]:
    for row, (session, clicks) in enumerate(zip(sessions, outputs["clicks"], strict=True)):
        present = clicks != ""
        used = clicks[present].tolist()
        groups = zip(outputs["group_item_ids"][row], outputs["group_scores"][row], strict=True)
        yield Explanation(
            used,
            outputs["retention"][row][:, present],
            [scored_items(ids.tolist(), scores.tolist())[:k] for ids, scores in groups],
            bool(outputs["is_fallback"][row]),
            used_positions(session, used),
        )
