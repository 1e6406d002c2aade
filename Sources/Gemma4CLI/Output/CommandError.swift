import Gemma4Kit
import JSONText
import Tokenization

/// Errors of files and streams.
struct CommandError: Error, Equatable, CustomStringConvertible {
    enum Code: Equatable {
        /// No model is given; `file` is the argument for it.
        case modelNotGiven
        /// The model does not exist; `cache` is the folder where a repository of that name would be.
        case noModel(cache: String?)
        /// Not a GGUF file.
        case noModelFile
        case unreadable(reason: String)
        case notUTF8
        /// A folder without a file of these extensions.
        case emptyFolder([String], leftOut: String?)
        case invalidMessages(ChatError)
        case notJSON(JSONValue.SyntaxError)
        /// An invalid line in a manifest.
        case invalidManifest(line: Int, expected: String, found: String)
        /// An invalid file of tools.
        case invalidTools(place: String, expected: String, found: String)
        /// Tool parameters that cannot be enforced; with the whole message.
        case invalidToolSchema(String)
        /// An existing file that is not a conversation would be overwritten.
        case notAConversation
        /// The prompt needs `needed` tokens.
        case contextFull(needed: Int, limit: Int)
        /// The output is also an input, with this path.
        case overwritesInput(String)
        /// The output exists and is an image, a recording or a film.
        case overwritesMedium(format: String)
        /// The file to resume is not a results file.
        case notResults
        /// The output file cannot be created.
        case cannotCreate(reason: String)
        /// For example because the disk is full.
        case cannotWrite(reason: String)
        /// The certificate or key is invalid.
        case notPEM(expected: String)
        /// For example because the port is in use; `file` is the address.
        case cannotListen(reason: String)
    }

    let code: Code
    /// A path, or the name of a standard stream.
    let file: String

    init(_ code: Code, _ file: String) { (self.code, self.file) = (code, file) }

    var description: String {
        let name = file.displayed
        return switch code {
        case .modelNotGiven: "no model: give \(name), or set \(ModelPath.variable). \(ModelPath.howToGetOne)"
        case .noModelFile: "\(name): expected a directory or a GGUF file, found another file"
        case .noModel(nil): "\(name): no such directory or file. \(ModelPath.howToGetOne)"
        case .noModel(let cache?):
            "\(name): no such directory or file, nor a repository in \(cache). Get it with: hf download \(name)"
        case .unreadable(let reason): "\(name): cannot be read: \(reason)"
        case .emptyFolder(let extensions, let leftOut):
            "\(name): expected a folder with files to read, found none that ends in .\(extensions.joined(separator: ", ."))"
                + (leftOut.map { "; \($0.displayed)" } ?? "")
        case .notUTF8: "\(name): expected text in UTF-8, found other bytes"
        case .invalidMessages(let error): "\(name), \(error)"
        case .notJSON(let error): "\(name), \(error)"
        case .invalidManifest(let line, let expected, let found):
            "\(name), line \(line): expected \(expected), found \(found.displayed)"
        case .invalidTools(let place, let expected, let found):
            "\(name), \(place): expected \(expected), found \(found)"
        case .invalidToolSchema(let message): message
        case .notAConversation:
            "\(name): expected a conversation to write over, found something else; give another name"
        case .contextFull(let needed, let limit):
            "\(name): expected at most \(limit) tokens with room for an answer, found \(needed); /clear or /undo, or start with --context-overflow drop-oldest"
        case .overwritesInput(let input):
            "\(name): would be written over, but it is \(input == file ? "read" : "the input \(input.displayed)"); give -o another name"
        case .overwritesMedium(let format):
            "\(name): would be written over, but it holds \(format), no results; give -o another name, or remove the file"
        case .notResults:
            "\(name): expected lines that this command wrote before, found something else; give -o another name"
        case .cannotCreate(let reason): "\(name): cannot be created: \(reason)"
        case .cannotWrite(let reason): "\(name): cannot be written: \(reason)"
        case .notPEM(let expected): "\(name): expected \(expected), found none"
        case .cannotListen(let reason): "\(name): cannot listen: \(reason); see --host, --port and --unix-socket"
        }
    }

    /// Whether results can no longer be written.
    var isAboutOutput: Bool {
        switch code {
        case .cannotCreate, .cannotWrite: true
        default: false
        }
    }
}
