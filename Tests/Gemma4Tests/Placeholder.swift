import Testing
@testable import Gemma4
