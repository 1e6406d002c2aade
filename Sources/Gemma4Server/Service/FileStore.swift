import Foundation
import Gemma4Kit
import Media
import Synchronization

/// Uploaded media, stored on disk until deleted or the server ends. Each client sees only its own.
final class FileStore: Sendable {
    /// Maximum total size of all files, in bytes.
    private let limit: Int
    private let files = Mutex<[String: Stored]>([:])

    init(limit: Int) { self.limit = limit }

    struct Stored: Sendable {
        let id: String
        /// The digest of the key of the client that sent it; nil if the server has no keys.
        let client: String?
        let file: UploadedFile
        let byteCount: Int
        let created: Int
        let purpose: String
        let medium: Medium

        var object: JSONValue {
            [
                "id": .string(id), "object": "file", "bytes": .integer(byteCount), "created_at": .integer(created),
                "filename": .string(file.name), "purpose": .string(purpose), "status": "processed",
            ]
        }
    }

    /// - Throws: `WireError` if it is not an image, recording or film, or if the store is full.
    func add(_ file: UploadedFile, purpose: String, client: String?) throws(WireError) -> Stored {
        guard let kind = MediaKind(of: file.url) else {
            throw WireError(.badRequest, "\(file.name): expected a picture, a recording or a film", parameter: "file")
        }
        let medium: Medium =
            switch kind.medium {
            case .picture: .image
            case .sound: .audio
            case .film: .video
            }
        let size = (try? file.url.resourceValues(forKeys: [.fileSizeKey]).fileSize) ?? 0
        let stored = Stored(
            id: "file-\(WireID.random)", client: client, file: file, byteCount: size,
            created: Int(Date().timeIntervalSince1970), purpose: purpose, medium: medium)
        let hasRoom = files.withLock { files in
            guard files.values.reduce(size, { $0 + $1.byteCount }) <= limit else { return false }
            files[stored.id] = stored
            return true
        }
        guard hasRoom else {
            throw WireError(
                .init(code: 507, reasonPhrase: "Insufficient Storage"),
                "the files of all clients may take \(limit >> 20) MB; delete some", code: "storage")
        }
        return stored
    }

    /// In the order of upload.
    func all(of client: String?) -> [Stored] {
        files.withLock { $0.values.filter { $0.client == client } }.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
    }

    func find(_ id: String, of client: String?) throws(WireError) -> Stored {
        guard let stored = files.withLock({ $0[id] }), stored.client == client else {
            throw WireError(
                .notFound, "there is no file \(id.prefix(40))", parameter: "file_id", code: "file_not_found")
        }
        return stored
    }

    /// A file that is being read remains readable.
    func remove(_ id: String, of client: String?) throws(WireError) {
        _ = try find(id, of: client)
        files.withLock { $0[id] = nil }
    }
}
