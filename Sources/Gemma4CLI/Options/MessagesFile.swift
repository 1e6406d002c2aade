import Foundation
import Gemma4Kit
import Tokenization

/// A conversation in the message form of Hugging Face's any-to-any pipeline, or a request object of OpenAI's or
/// Ollama's API, from a file or standard input.
struct MessagesFile {
    let request: ChatRequest
    /// Base of relative media paths.
    let directory: URL

    /// - Parameter argument: a path, or "-" for standard input, with the current directory as the base.
    /// - Throws: `CommandError`.
    init(_ argument: String) throws(CommandError) {
        let isStandardInput = argument == StandardInput.argument
        let file = URL(filePath: argument)
        directory =
            isStandardInput
            ? URL(filePath: FileManager.default.currentDirectoryPath, directoryHint: .isDirectory)
            : file.deletingLastPathComponent()
        let name = isStandardInput ? StandardInput.name : argument
        let bytes = isStandardInput ? try StandardInput.readAll() : try Self.read(file, name)
        do throws(ChatError) {
            request = try ChatRequest(json: bytes)
        } catch {
            throw CommandError(.invalidMessages(error), name)
        }
    }

    /// Reads a file named by an argument.
    static func read(_ file: URL, _ name: String) throws(CommandError) -> Data {
        do {
            return try Data(contentsOf: file)
        } catch {
            let exists = FileManager.default.fileExists(atPath: file.path)
            throw CommandError(.unreadable(reason: exists ? error.localizedDescription : "no such file"), name)
        }
    }
}
