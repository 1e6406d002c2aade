import Tensors

/// An error in the files of a checkpoint: where, expected, found, and the remedy.
package struct CheckpointError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// No such file, or no weights in the directory.
        case fileNotFound
        /// The path is a directory, a pipe or a device.
        case notAFile
        /// The operating system refused to open or map the file.
        case notReadable
        case emptyFile
        /// The operating system refused to create or write the file.
        case notWritable
        /// The text is not JSON; `place` holds line and column.
        case invalidJSON
        /// A configuration lacks a key that shapes the model; `place` is the path of keys.
        case missingKey
        /// A configuration holds a value of the wrong type, or one that is not supported.
        case invalidValue
        /// The configuration is of an unsupported kind of model.
        case unsupportedModel
        /// The header of a safetensors or GGUF file cannot be read, or is longer than the file.
        case invalidHeader
        /// A header describes one tensor wrongly: type, shape or offset; `place` is its name.
        case invalidTensor
        /// A tensor holds a non-finite value; `place` is its name.
        case notFinite
        /// The index of the shards is invalid.
        case invalidIndex
        case missingShard
        /// Tensors are missing, superfluous or of the wrong shape; `mismatches` lists all of them.
        case tensorMismatch
    }

    package let code: Code
    package let file: String
    /// A tensor, a path of keys, or line and column within `file`.
    package let place: String?
    package let expected: String?
    package let found: String
    package let remedy: String?
    /// Every tensor that differs from the configuration, ordered by name. Empty for other codes.
    package let mismatches: [TensorMismatch]

    package init(
        _ code: Code, file: String, place: String? = nil, expected: String? = nil, found: String, remedy: String? = nil,
        mismatches: [TensorMismatch] = []
    ) {
        self.code = code
        self.file = file
        self.place = place
        self.expected = expected
        self.found = found
        self.remedy = remedy
        self.mismatches = mismatches
    }

    package var description: String {
        var text = place.map { "\(file), \($0):" } ?? "\(file):"
        text += expected.map { " expected \($0), found \(found)." } ?? " \(found)."
        let listed = 20
        for mismatch in mismatches.prefix(listed) { text += "\n  \(mismatch)" }
        if mismatches.count > listed { text += "\n  and \(mismatches.count - listed) more." }
        if let remedy { text += (mismatches.isEmpty ? " " : "\n") + remedy }
        return text
    }
}

/// One tensor that does not match the configuration.
package enum TensorMismatch: Sendable, Hashable, CustomStringConvertible {
    case missing(String, expected: Shape)
    case superfluous(String, found: [Int])
    case misshapen(String, expected: Shape, found: [Int])

    package var name: String {
        switch self {
        case .missing(let name, _), .superfluous(let name, _), .misshapen(let name, _, _): name
        }
    }

    package var description: String {
        switch self {
        case .missing(let name, let expected): "\(name): missing, expected \(expected)"
        case .superfluous(let name, let found): "\(name): \(found), not part of this model"
        case .misshapen(let name, let expected, let found): "\(name): expected \(expected), found \(found)"
        }
    }
}
