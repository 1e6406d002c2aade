import Testing
@testable import Gemma4CLI
