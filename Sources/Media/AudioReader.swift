import CSndFile
import CSoxr
import CImageDecoding
