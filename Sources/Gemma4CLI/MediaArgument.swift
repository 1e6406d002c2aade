import Foundation
import Gemma4Kit

extension ImageInput {
    /// A path, or "-" for standard input.
    init(argument: String) throws {
        self =
            argument == StandardInput.argument
            ? .bytes(try StandardInput.readAll(), name: StandardInput.name) : .file(URL(filePath: argument))
    }
}

extension AudioInput {
    /// A path, or "-" for standard input.
    init(argument: String) throws {
        self =
            argument == StandardInput.argument
            ? .bytes(try StandardInput.readAll(), name: StandardInput.name) : .file(URL(filePath: argument))
    }
}
