import Foundation
import Gemma4Kit

extension ImageInput {
    /// A path, or "-" for standard input.
    init(argument: String) throws {
        self =
            argument == StandardInput.argument
            ? .bytes(try StandardInput.readAll(), name: StandardInput.name)
            : .file(URL(filePath: SystemPath(argument: argument).openable))
    }
}

extension AudioInput {
    /// A path, or "-" for standard input.
    init(argument: String) throws {
        self =
            argument == StandardInput.argument
            ? .bytes(try StandardInput.readAll(), name: StandardInput.name)
            : .file(URL(filePath: SystemPath(argument: argument).openable))
    }
}
