import Gemma4
import Generation
import Grammar
import Media
import Tensors
import Tokenization
import Weights

/// An error that states its kind, the place, what was expected, what was found, and the remedy. `description` is the
/// complete sentence. Every error of this library conforms to it.
public protocol DiagnosedError: Error, CustomStringConvertible {
    var diagnosis: Diagnosis { get }
}

/// The parts of an error.
public struct Diagnosis: Sendable, Hashable {
    /// What a caller does about it: ask differently, or repair something.
    public let kind: Kind
    /// A file, a tensor, a key of a configuration or of a message; nil if none applies.
    public let place: String?
    /// What should have been there; nil if there is nothing to say.
    public let expected: String?
    /// What was found there.
    public let found: String?
    /// What helps; nil if nothing is known to.
    public let remedy: String?

    init(
        _ kind: Kind, place: String? = nil, expected: String? = nil, found: String? = nil, remedy: String? = nil
    ) {
        (self.kind, self.place, self.expected, self.found, self.remedy) = (kind, place, expected, found, remedy)
    }
}

extension Diagnosis {
    /// The kind of an error, which determines exit code and HTTP status.
    public enum Kind: Sendable, CaseIterable {
        /// A request, a message or a medium is invalid.
        case badInput
        /// A file does not exist, or cannot be read.
        case noInput
        /// The input is valid, but not supported by this model or this machine.
        case unsupported
        /// A file cannot be created.
        case cannotCreate
        /// A resource is exhausted, for example memory.
        case resources
        /// Too many requests at this moment.
        case busy
        /// The model or its files are damaged.
        case damagedModel

        /// The exit code of a program, from `sysexits.h`.
        public var exitCode: Int32 {
            switch self {
            case .badInput, .damagedModel: 65
            case .noInput: 66
            case .unsupported: 69
            case .resources: 71
            case .cannotCreate: 73
            case .busy: 75
            }
        }

        /// The HTTP status of a server's response.
        public var httpStatus: Int {
            switch self {
            case .badInput: 400
            case .noInput: 404
            case .unsupported: 422
            case .cannotCreate, .damagedModel: 500
            case .resources: 413
            case .busy: 429
            }
        }
    }
}

extension CheckpointError: DiagnosedError {
    package var diagnosis: Diagnosis {
        let kind: Diagnosis.Kind =
            switch code {
            case .fileNotFound, .notAFile, .notReadable, .missingShard: .noInput
            case .unsupportedModel: .unsupported
            case .notWritable: .cannotCreate
            default: .damagedModel
            }
        let place = place.map { "\(file), \($0)" } ?? file
        return Diagnosis(kind, place: place, expected: expected, found: found, remedy: remedy)
    }
}

extension TokenizerError: DiagnosedError {
    package var diagnosis: Diagnosis {
        Diagnosis(
            code == .unreadable ? .noInput : .damagedModel, place: "\(file), \(place)", expected: expected, found: found
        )
    }
}

extension MediaError: DiagnosedError {
    /// The error in the form that all errors of the library have.
    public var diagnosis: Diagnosis {
        let kind: Diagnosis.Kind =
            switch code {
            case .unreadable: .noInput
            case .outOfMemory: .resources
            case .missingProgram: .unsupported
            default: .badInput
            }
        return Diagnosis(kind, place: source, expected: expected, found: found, remedy: remedy)
    }
}

extension ModelInputError: DiagnosedError {
    package var diagnosis: Diagnosis {
        switch code {
        case .noTower: Diagnosis(.unsupported)
        case .notFinite: Diagnosis(.damagedModel)
        default: Diagnosis(.badInput)
        }
    }
}

extension ChatError: DiagnosedError {
    /// The error in the form that all errors of the library have.
    public var diagnosis: Diagnosis {
        Diagnosis(.badInput, place: key, expected: expected, found: found, remedy: remedy)
    }
}

extension GrammarError: DiagnosedError {
    package var diagnosis: Diagnosis {
        let kind: Diagnosis.Kind =
            switch code {
            case .syntax, .unsatisfiable: .badInput
            case .unsupported, .tooLarge: .unsupported
            }
        return Diagnosis(kind, place: "\(subject), \(place)", expected: expected, found: found, remedy: remedy)
    }
}

extension PromptError: DiagnosedError {
    package var diagnosis: Diagnosis { Diagnosis(.badInput) }
}

extension ImageProcessorError: DiagnosedError {
    package var diagnosis: Diagnosis { Diagnosis(.badInput, expected: expected, found: found) }
}

extension MelSpectrogramError: DiagnosedError {
    package var diagnosis: Diagnosis { Diagnosis(.badInput, expected: expected, found: found, remedy: remedy) }
}

extension EngineError: DiagnosedError {
    package var diagnosis: Diagnosis {
        switch code {
        case .memory: Diagnosis(.resources)
        case .busy: Diagnosis(.busy)
        }
    }
}

extension EncoderInputError: DiagnosedError {
    package var diagnosis: Diagnosis { Diagnosis(.badInput) }
}

extension PromptCacheError: DiagnosedError {
    package var diagnosis: Diagnosis {
        let kind: Diagnosis.Kind =
            switch code {
            case .notReadable: .noInput
            case .notACache, .version, .damaged, .otherModel, .otherKeyValueType, .conversation, .noConversation:
                .badInput
            case .notWritable: .cannotCreate
            case .nothingKept: .resources
            }
        let place = place.map { "\(file), \($0)" } ?? file
        return Diagnosis(kind, place: place, expected: expected, found: found, remedy: remedy)
    }
}

extension BLASMemoryError: DiagnosedError {
    package var diagnosis: Diagnosis { Diagnosis(.resources) }
}
