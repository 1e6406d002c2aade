import Gemma4
import Tokenization
import Media
import Logging
