import Foundation
import JSONText
import TestSupport

/// The parsers of untrusted input, one per target.
///
/// A parser accepts its bytes or throws. `make fuzz` looks for everything else: traps, hangs, unbounded memory, and
/// accepted input that contradicts itself (a `precondition` here).
enum FuzzTarget: String, CaseIterable, Sendable {
    // Files of a checkpoint.
    case safetensors
    case shardIndex = "shard-index"
    case gguf
    case tokenizer
    case configuration
    case quantization
    case generationConfiguration = "generation-configuration"
    case processorConfiguration = "processor-configuration"
    case embeddingPrompts = "embedding-prompts"
    case modulePattern = "module-pattern"
    // Media.
    case picture
    case sound
    // Texts.
    case json
    case messages
    case answer
    case schema
    case tools
    case gbnf
    case regex
    // Requests.
    case chatCompletion = "chat-completion"
    case response
    case anthropicMessage = "anthropic-message"
    case multipart

    /// Inputs that are committed, of this target.
    var corpus: URL {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Corpus/\(rawValue)")
    }

    /// Golden files that are inputs of this target, too.
    var seeds: URL? {
        switch self {
        case .picture: MediaGoldens.folder.appending(path: "pictures")
        case .sound: MediaGoldens.folder.appending(path: "recordings")
        default: nil
        }
    }

    /// Reads the bytes.
    ///
    /// - Returns: whether they were accepted. Otherwise the error message is rendered, as for a user.
    @discardableResult
    func read(_ bytes: [UInt8]) -> Bool {
        do {
            try reader(bytes)
            return true
        } catch {
            _ = "\(error)"
            return false
        }
    }

    private var reader: ([UInt8]) throws -> Void {
        switch self {
        case .safetensors: readSafetensors
        case .shardIndex: readShardIndex
        case .gguf: readGGUF
        case .tokenizer: readTokenizer
        case .configuration: readConfiguration
        case .quantization: readQuantization
        case .generationConfiguration: readGenerationConfiguration
        case .processorConfiguration: readProcessorConfiguration
        case .embeddingPrompts: readEmbeddingPrompts
        case .modulePattern: readModulePattern
        case .picture: readPicture
        case .sound: readSound
        case .json: readJSON
        case .messages: readMessages
        case .answer: readAnswer
        case .schema: readSchema
        case .tools: readTools
        case .gbnf: readGBNF
        case .regex: readRegularExpression
        case .chatCompletion: readChatCompletion
        case .response: readResponse
        case .anthropicMessage: readAnthropicMessage
        case .multipart: readMultipart
        }
    }
}
