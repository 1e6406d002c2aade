import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSONText
import TestSupport
import Testing

@testable import Gemma4Kit
@testable import Gemma4Server

private let picture = Goldens.folder.appending(path: "attachments/wide.png")

/// A host with an image, and with faulty responses.
private func atHost<Value>(_ body: @Sendable (_ port: Int) async throws -> Value) async throws -> Value {
    let router = Router()
    let bytes = ByteBuffer(bytes: try Data(contentsOf: picture))
    router.get("/wide.png") { _, _ in Response(status: .ok, body: .init(byteBuffer: bytes)) }
    router.get("/to/{place}") { request, context in
        let place = try context.parameters.require("place").removingPercentEncoding!
        return Response(status: .found, headers: [.location: place])
    }
    router.get("/endless") { _, _ in
        Response(
            status: .ok,
            body: ResponseBody { writer in
                while true { try await writer.write(ByteBuffer(repeating: 0, count: 1 << 16)) }
            })
    }
    router.get("/slow") { _, _ in
        Response(
            status: .ok,
            body: ResponseBody { writer in
                for _ in 0..<600 {
                    try await writer.write(ByteBuffer(repeating: 0, count: 1))
                    try await Task.sleep(for: .milliseconds(100))
                }
                try await writer.finish(nil)
            })
    }
    let application = Application(router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)))
    return try await application.test(.live) { try await body($0.port!) }
}

private func fetcher(_ hosts: String..., limit: Int = 1 << 20, seconds: Int = 20) throws -> MediaFetcher {
    MediaFetcher(hosts: try hosts.map { try #require(MediaHost($0)) }, limit: limit, seconds: seconds)
}

private func escaped(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: .alphanumerics)! }

@Test func picturesAreFetchedFromNamedHosts() async throws {
    try await atHost { port in
        let host = "127.0.0.1:\(port)"
        let expected = try Data(contentsOf: picture)
        let fetcher = try fetcher(host)
        let direct = try await fetcher.fetch("http://\(host)/wide.png")
        #expect(try Data(contentsOf: direct.url) == expected)
        for place in ["/wide.png", "http://\(host)/wide.png", "/to/\(escaped("/wide.png"))"] {
            let led = try await fetcher.fetch("http://\(host)/to/\(escaped(place))#part")
            #expect(try Data(contentsOf: led.url) == expected, "\(place)")
        }
        // And within a request.
        let served = try Served { $0.mediaHosts = [MediaHost(host)!] }
        func caption(_ url: String) async throws -> JSONValue? {
            let content: JSONValue = [
                ["type": "image_url", "image_url": ["url": .string(url)]], ["type": "text", "text": "What is this?"],
            ]
            return try await served.post(
                "/v1/chat/completions",
                ["messages": [["role": "user", "content": content]], "max_tokens": 8, "temperature": 0]
            ).json["choices"]?[0]?["message"]?["content"]
        }
        let asData = try await caption("data:image/png;base64,\(expected.base64EncodedString())")
        #expect(try await caption("http://\(host)/wide.png") == asData && asData != nil)
    }
}

/// Only allowed hosts are contacted, also after redirects, and the size of responses is limited.
@Test func otherAddressesAreNotFetched() async throws {
    try await atHost { port in
        let host = "127.0.0.1:\(port)"
        let patient = try fetcher(host, "localhost:\(port)", "192.0.2.1", limit: 100_000)
        let impatient = try fetcher(host, seconds: 1)
        for (address, message) in [
            ("http://other.example:\(port)/wide.png", "other.example is no host that this server fetches from"),
            ("http://127.0.0.1/wide.png", "127.0.0.1 is no host"),
            ("http://127.1:\(port)/wide.png", "127.1 is no host"),
            ("http://localhost:\(port)/wide.png", "its host is within a private network"),
            ("http://localhost.:\(port)/wide.png", "localhost. is no host"),
            ("http://me@\(host)/wide.png", "expected an http or https address with a host"),
            ("file:///etc/passwd", "expected an http or https address"),
            ("http://\(host)/none", "its host answers 404"),
            ("http://\(host)/to/\(escaped("http://other.example/a"))", "other.example is no host"),
            ("http://\(host)/to/\(escaped("http://localhost:\(port)/wide.png"))", "within a private network"),
            ("http://\(host)/to/\(escaped("file:///etc/passwd"))", "expected an http or https address"),
            ("http://\(host)/endless", "it has more than 100000 bytes"),
            ("http://\(host)/slow", "it takes more than 1 s"),
            ("https://\(host)/wide.png", ": it"),
        ] {
            let error = await #expect(throws: WireError.self, "\(address)") {
                let isSlow = address.hasSuffix("/slow") || address.hasPrefix("https:")
                return try await (isSlow ? impatient : patient).fetch(address)
            }
            #expect(error?.message.contains(message) == true, "\(address): \(error?.message ?? "")")
            #expect(error?.status == .badRequest && error?.message.hasPrefix(address) == true)
        }
        let round =
            "http://\(host)/to/"
            + escaped("/to/" + escaped("/to/" + escaped("/to/" + escaped("/to/" + escaped("/to/a")))))
        let error = await #expect(throws: WireError.self) { try await patient.fetch(round) }
        #expect(error?.message.contains("it leads on more than 5 times") == true, "\(error?.message ?? "")")
    }
}

/// The connection goes to the address that was looked at; one private address among several spoils the name.
@Test func theAddressThatWasCheckedIsConnectedTo() async throws {
    try await atHost { port in
        var fetcher = try fetcher("pinned.invalid:\(port)")
        fetcher.resolve = { $0 == "pinned.invalid" ? ["127.0.0.1"] : [] }
        fetcher.permits = { $0 == "127.0.0.1" }
        let file = try await fetcher.fetch("http://PINNED.invalid:\(port)/wide.png")
        #expect(try Data(contentsOf: file.url) == Data(contentsOf: picture))
        fetcher.resolve = { _ in ["127.0.0.1", "10.0.0.1"] }
        let mixed = fetcher
        let error = await #expect(throws: WireError.self) {
            try await mixed.fetch("http://pinned.invalid:\(port)/wide.png")
        }
        #expect(error?.code == "address_not_allowed")
    }
}

@Test(arguments: [
    ("8.8.8.8", true), ("127.0.0.1", false), ("10.1.2.3", false), ("172.16.0.1", false), ("172.32.0.1", true),
    ("192.168.1.1", false), ("169.254.169.254", false), ("100.64.0.1", false), ("100.128.0.1", true),
    ("0.0.0.0", false),
    ("224.0.0.1", false), ("255.255.255.255", false), ("198.18.0.1", false), ("198.20.0.1", true),
    ("2606:4700::1111", true), ("::1", false), ("::", false), ("fe80::1", false), ("fd00::1", false),
    ("::ffff:8.8.8.8", false), ("::ffff:127.0.0.1", false), ("64:ff9b::7f00:1", false), ("2002:7f00:1::", false),
    ("2001:db8::1", false), ("2001::1", false), ("ff02::1", false),
])
func addressesArePublicOrNot(text: String, isPublic: Bool) throws {
    #expect(try #require(InternetAddress(text)).isPublic == isPublic)
}

@Test func hostsAreNamesWithPorts() throws {
    for text in ["127.1", "0x7f.0.0.1", "017700000001", "example.com", "", "::1%lo"] {
        #expect(InternetAddress(text) == nil, "\(text)")
    }
    #expect(MediaHost("Example.com:8443")?.description == "example.com:8443")
    #expect(MediaHost("[::1]:80")?.description == "[::1]:80")
    for text in ["", "a/b", "http://a", "a@b", "a?b", "a:b"] { #expect(MediaHost(text) == nil, "\(text)") }
    let host = try #require(MediaHost("a.example"))
    #expect(host.covers("a.example", 443, isStandard: true) && !host.covers("a.example", 8080, isStandard: false))
    #expect(!host.covers("b.a.example", 443, isStandard: true))
}

/// `file:` URLs resolve to files below the folder, with links followed, and errors do not reveal its path.
@Test func filesComeFromTheirFolderAlone() async throws {
    let directory = try TemporaryDirectory()
    let root = URL(filePath: directory.path).appending(path: "media")
    let manager = FileManager.default
    try manager.createDirectory(at: root.appending(path: "sub"), withIntermediateDirectories: true)
    try manager.copyItem(at: picture, to: root.appending(path: "sub/a picture.png"))
    try manager.copyItem(at: picture, to: URL(filePath: "\(directory.path)/outside.png"))
    try manager.copyItem(at: picture, to: URL(filePath: "\(directory.path)/media-2.png"))
    try Data("no picture".utf8).write(to: root.appending(path: "text.png"))
    try manager.createSymbolicLink(atPath: root.path + "/in.png", withDestinationPath: "sub/a picture.png")
    try manager.createSymbolicLink(atPath: root.path + "/out.png", withDestinationPath: "../outside.png")
    let served = try Served { $0.mediaRoot = root }
    func ask(_ url: String, _ served: Served) async throws -> TestResponse {
        let content: JSONValue = [["type": "image_url", "image_url": ["url": .string(url)]]]
        return try await served.post(
            "/v1/chat/completions",
            ["messages": [["role": "user", "content": content]], "max_tokens": 2, "temperature": 0])
    }
    for name in ["sub/a%20picture.png", "in.png", "sub/../in.png"] {
        #expect(try await ask("file://\(root.path)/\(name)", served).status == .ok, "\(name)")
    }
    for url in [
        "file://\(root.path)/out.png", "file://\(root.path)/../outside.png", "file://\(root.path)/sub",
        "file://\(root.path)/none.png", "file:///etc/passwd", "file://\(directory.path)/media-2.png",
        "file://host\(root.path)/in.png", "file:sub/a%20picture.png", "file://\(root.path)/%2e%2e/outside.png",
    ] {
        let response = try await ask(url, served)
        #expect(response.status == .badRequest, "\(url)")
        #expect(try response.json["error"]?["code"] == "unsupported_address", "\(url)")
    }
    let noPicture = try await ask("file://\(root.path)/text.png", served)
    #expect(noPicture.status == .badRequest)
    #expect(try await ask("file://\(root.path)/in.png", try Served()).status == .badRequest)
}
