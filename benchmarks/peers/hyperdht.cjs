// A TCP forwarder over hyperdht, with a DHT of its own instead of the public one:
//   node hyperdht.cjs dht HOST | expose BOOTSTRAP PORT | connect BOOTSTRAP KEY PORT
const HyperDHT = require('hyperdht')
const createTestnet = require('hyperdht/testnet')
const net = require('net')
const { pipeline } = require('stream')

const join = (one, other) => pipeline(one, other, one, () => {})

async function main ([role, first, second, third]) {
  if (role === 'dht') {
    const testnet = await createTestnet(3, { host: first })
    console.log('bootstrap ' + testnet.bootstrap.map((node) => `${node.host}:${node.port}`).join(','))
    return
  }
  const dht = new HyperDHT({ bootstrap: first.split(',') })
  if (role === 'expose') {
    const pair = HyperDHT.keyPair()
    const server = dht.createServer({ reusableSocket: true }, (connection) => {
      join(connection, net.connect(Number(second), '127.0.0.1'))
    })
    await server.listen(pair)
    console.log('key ' + pair.publicKey.toString('hex'))
    return
  }
  const key = Buffer.from(second, 'hex')
  const server = net.createServer((local) => join(local, dht.connect(key, { reusableSocket: true })))
  server.listen(Number(third), '127.0.0.1', () => console.log('listening'))
}

main(process.argv.slice(2))
