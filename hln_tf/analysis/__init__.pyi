from .comparison import markdown as markdown
from .explanation import Explanation as Explanation
from .pictures import new_figure as new_figure
from .pictures import save_picture as save_picture
from .retention import compiled_retention as compiled_retention
from .retention import mean_by_position as mean_by_position
from .retention import retention_of_clicks as retention_of_clicks
