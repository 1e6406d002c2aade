import Weights
import Tensors
