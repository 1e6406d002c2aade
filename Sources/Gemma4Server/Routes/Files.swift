import Foundation
import Gemma4Kit
import Hummingbird

/// `/v1/files`: uploaded media, which later requests refer to by id.
///
/// Source: https://platform.openai.com/docs/api-reference/files.
extension ModelServer {
    func addFileRoutes(to router: some RouterMethods<ServerContext>) {
        router.post("/v1/files") { request, context in
            let form = try await MultipartForm(request, limit: options.uploadBytes)
            guard let file = form.files.first(where: { $0.name == "file" })?.file else {
                throw WireError(
                    .badRequest, "file: expected a picture, a recording or a film, found none", parameter: "file")
            }
            let stored = try files.add(file, purpose: form.value("purpose") ?? "user_data", client: context.client?.id)
            return Response(json: stored.object)
        }
        router.get("/v1/files") { _, context in
            let objects = files.all(of: context.client?.id).map(\.object)
            return Response(json: ["object": "list", "data": .array(objects), "has_more": false])
        }
        router.get("/v1/files/{id}") { _, context in
            Response(json: try files.find(context.parameters.require("id"), of: context.client?.id).object)
        }
        router.get("/v1/files/{id}/content") { _, context in
            let stored = try files.find(context.parameters.require("id"), of: context.client?.id)
            let handle = try FileHandle(forReadingFrom: stored.file.url)
            return Response(
                status: .ok, headers: [.contentType: "application/octet-stream"],
                body: ResponseBody(contentLength: stored.byteCount) { writer in
                    defer { withExtendedLifetime(stored) {} }
                    while let bytes = try handle.read(upToCount: 1 << 16), !bytes.isEmpty {
                        try await writer.write(ByteBuffer(bytes: bytes))
                    }
                    try await writer.finish(nil)
                })
        }
        router.delete("/v1/files/{id}") { _, context in
            let id = try context.parameters.require("id")
            try files.remove(id, of: context.client?.id)
            return Response(json: ["id": .string(id), "object": "file", "deleted": true])
        }
    }

    /// Resolves media references: an id of a file of this client, a URL of an allowed host, or a `file:` URL below the
    /// media folder. Others are refused.
    ///
    /// - Parameter references: the references of the request; URLs are fetched.
    /// - Throws: `WireError` if one cannot be fetched.
    func resolver(for references: [String], _ context: ServerContext) async throws -> MediaResolver {
        let fetcher = MediaFetcher(
            hosts: options.mediaHosts, limit: options.fetchedBytes, seconds: options.fetchSeconds)
        let addresses = Set(references.filter { $0.hasPrefix("http://") || $0.hasPrefix("https://") })
        guard options.mediaHosts.isEmpty || addresses.count <= options.fetchedMedia else {
            throw WireError(
                .badRequest, "expected at most \(options.fetchedMedia) addresses, found \(addresses.count)",
                code: "too_many_addresses")
        }
        var fetched: [String: UploadedFile] = [:]
        for address in addresses where !options.mediaHosts.isEmpty {
            fetched[address] = try await fetcher.fetch(address)
        }
        return MediaResolver {
            [fetched, files, root = options.mediaRoot, client = context.client?.id] medium, reference in
            if let file = fetched[reference] { return try .init(medium, file.url, named: reference) }
            if reference.hasPrefix("file:"), let root {
                return try .init(medium, try Self.file(reference, below: root), named: reference)
            }
            guard reference.hasPrefix("file-") else {
                throw WireError(
                    .badRequest,
                    "\(reference.prefix(80)): expected a data: URL or the id of a file; other addresses are not fetched",
                    code: "unsupported_address")
            }
            let stored = try files.find(reference, of: client)
            guard stored.medium == medium else {
                throw WireError(
                    .badRequest, "\(reference): expected \(medium.rawValue), found \(stored.medium.rawValue)")
            }
            return try .init(medium, stored.file.url, named: stored.file.name)
        }
    }

    /// The file of a `file:` URL, with links resolved.
    ///
    /// - Throws: `WireError` if it is not below the folder, or not a file; the error does not reveal whether a file
    ///   outside exists.
    private static func file(_ reference: String, below root: URL) throws(WireError) -> URL {
        func real(_ path: String) -> String? {
            guard let resolved = realpath(path, nil) else { return nil }
            defer { free(resolved) }
            return String(cString: resolved)
        }
        var status = stat()
        guard let url = URL(string: reference), url.isFileURL, ["", "localhost"].contains(url.host() ?? ""),
            let folder = real(root.path), let file = real(url.path), file.hasPrefix(folder == "/" ? "/" : folder + "/"),
            stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG
        else {
            throw WireError(
                .badRequest, "\(reference.prefix(200)): expected a file below the folder of media",
                code: "unsupported_address")
        }
        return URL(filePath: file)
    }

    /// Replaces content parts of the type `file` by images, recordings and films.
    func namingMedia(_ messages: JSONValue, _ context: ServerContext) throws(WireError) -> JSONValue {
        try messages.mapElements { message throws(WireError) in
            try message.mapMember("content") { content throws(WireError) in
                try content.mapElements { part throws(WireError) in
                    guard part["type"] == "file", let file = part["file"] else { return part }
                    guard let id = file["file_id"]?.string else {
                        throw WireError(
                            .badRequest,
                            "messages: a part of the type file: expected the file_id of a file sent before",
                            parameter: "messages")
                    }
                    let kind = try files.find(id, of: context.client?.id).medium.rawValue
                    return .object([.init("type", .string(kind)), .init(kind, .string(id))])
                }
            }
        }
    }
}

extension MediaInput {
    /// A file with the client's name for it in errors, instead of its path.
    fileprivate init(_ medium: Medium, _ file: URL, named name: String) throws {
        switch medium {
        case .image: self = .image(.bytes(try Data(contentsOf: file, options: .alwaysMapped), name: name))
        case .audio: self = .audio(.bytes(try Data(contentsOf: file, options: .alwaysMapped), name: name))
        case .video: self = .video(.file(file))
        }
    }
}

extension [ChatMessage] {
    /// The paths, URLs and `data:` URLs of their media.
    var references: [String] {
        flatMap { message -> [String] in
            guard case .parts(let parts)? = message.content else { return [] }
            return parts.compactMap { if case .medium(_, let reference) = $0.kind { reference } else { nil } }
        }
    }
}

extension JSONValue {
    /// Other values are returned unchanged.
    fileprivate func mapElements(
        _ change: (JSONValue) throws(WireError) -> JSONValue
    ) throws(WireError) -> JSONValue {
        guard case .array(let values) = self else { return self }
        var changed: [JSONValue] = []
        for value in values { changed.append(try change(value)) }
        return .array(changed)
    }

    fileprivate func mapMember(
        _ key: String, _ change: (JSONValue) throws(WireError) -> JSONValue
    ) throws(WireError) -> JSONValue {
        guard case .object(let members) = self else { return self }
        var changed: [Member] = []
        for member in members {
            changed.append(member.key == key ? .init(key, try change(member.value)) : member)
        }
        return .object(changed)
    }
}
