import Foundation

/// The bytes of one picture or recording and the name by which errors call them.
struct SourceBytes: Sendable {
    let name: String
    let bytes: Data

    init(_ bytes: Data, name: String) {
        self.name = name
        self.bytes = bytes
    }

    /// Maps the file where the system allows it, so that a long recording costs no memory.
    init(contentsOf file: URL) throws(MediaError) {
        name = file.path
        do {
            bytes = try Data(contentsOf: file, options: .mappedIfSafe)
        } catch {
            throw MediaError(
                code: .unreadable, source: name, expected: "a readable file", found: Self.reason(error, file),
                remedy: "check the path and its permissions")
        }
    }

    /// What errors of this source have in common.
    func error(_ code: MediaError.Code, expected: String, found: String, remedy: String) -> MediaError {
        MediaError(code: code, source: name, expected: expected, found: found, remedy: remedy)
    }

    private static func reason(_ error: any Error, _ file: URL) -> String {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isDirectory) else {
            return "no such file"
        }
        return isDirectory.boolValue ? "a directory" : "one that cannot be read (\(error.localizedDescription))"
    }
}
