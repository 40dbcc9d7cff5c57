// What mendhak/http-https-echo does with a request, which is not in npm: answers JSON that says what
// came, by express, and logs a line for each, by morgan.
'use strict'

const express = require('express')
const morgan = require('morgan')

const app = express()
app.use(morgan('combined'))
app.use(express.raw({ type: () => true, limit: '10mb' }))
app.use((request, response) => {
  const { path, headers, method, ip, protocol, query } = request
  const body = Buffer.isBuffer(request.body) ? request.body.toString() : ''
  response.json({ path, headers, method, body, ip, protocol, query })
})
app.listen(Number(process.argv[2]), '127.0.0.1')
