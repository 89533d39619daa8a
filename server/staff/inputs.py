"""What handlers take from a request: the types of parameters, with the bounds and words that the page shows."""

from typing import Annotated, Any

from litestar import Request
from litestar.params import PathParameter, QueryParameter

ID = r"\A[A-Za-z0-9_.~-]{1,64}\Z"
"""As ``protocol.Id``."""
CHANNEL = r"\A(room|guild|party|world|dm):[A-Za-z0-9_.~-]{1,64}(:[A-Za-z0-9_.~-]{1,64})?\Z"
"""As ``protocol.ChannelName``."""
ACTOR = r"\A(?=.{1,160}\Z)[a-z_]+:[A-Za-z0-9_.~:-]+\Z"
"""As the router takes an address."""

Asked = Request[Any, Any, Any]
"""The request itself, as ``Changes.run`` wants it."""
PlayerId = Annotated[str, PathParameter(pattern=ID, description="Id of the player.")]
GuildId = Annotated[str, PathParameter(pattern=ID, description="Id of the guild.")]
Actor = Annotated[str, PathParameter(pattern=ACTOR, description="E.g. `guild:42`, `player:ann`.")]
NodeName = Annotated[str, PathParameter(pattern=ID, description="Name of the node.")]
Channel = Annotated[str, PathParameter(pattern=CHANNEL, description="E.g. `room:lobby`, `guild:42`, `dm:ann:bo`.")]
Board = Annotated[str, PathParameter(pattern=ID, description="Name of the board.")]
Owner = Annotated[str, PathParameter(pattern=ID, description="Id of the player whose score it is.")]
Announcement = Annotated[str, PathParameter(pattern=r"\A[a-z2-7]{16}\Z", description="Id of the announcement.")]
Seq = Annotated[int, PathParameter(ge=1, le=2**53, description="`seq` of the line.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="At most so many.")]
